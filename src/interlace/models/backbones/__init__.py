"""What turns frames into feature maps, and the weights it may start from."""
