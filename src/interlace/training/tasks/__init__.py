"""What differs between training on digits and on clips."""
