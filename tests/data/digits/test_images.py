import gzip
import struct
import sys
from types import ModuleType

import pytest
import torch

from interlace.data.digits.images import Digits, load_digits

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(values: torch.Tensor, *, magic: int | None = None, count: int | None = None) -> bytes:
    """The content of an idx file, if need be with a wrong header."""
    header = [0x800 + values.ndim if magic is None else magic, *values.shape]
    header[1] = len(values) if count is None else count
    return struct.pack(f">{len(header)}I", *header) + bytes(values.flatten().tolist())


images = torch.arange(5 * 28 * 28).remainder(251).to(torch.uint8).view(5, 28, 28)
labels = torch.tensor([3, 1, 4, 1, 5], dtype=torch.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / IMAGES).write_bytes(idx(images))
    (tmp_path / LABELS).write_bytes(idx(labels))
    return tmp_path


@pytest.mark.parametrize("zipped", [(), (IMAGES,), (IMAGES, LABELS)])
def test_a_folder_of_idx_files_gzipped_or_not(folder, zipped):
    for name in zipped:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    digits = load_digits(folder, train=True)
    assert torch.equal(digits.images, images)
    assert digits.labels.tolist() == labels.tolist()
    assert digits.labels.dtype == torch.int64
    assert digits.name == f"{folder.name} train"
    assert torch.equal(load_digits(str(folder), train=True).images, images)


DAMAGE = {
    "ends inside its header": (IMAGES, idx(images)[:7], "inside its header"),
    "empty": (LABELS, b"", "inside its header"),
    "truncated": (IMAGES, idx(images)[:-1], "announces 5 items"),
    "too long": (LABELS, idx(labels) + b"\0", "announces 5 items"),
    "labels in place of images": (IMAGES, idx(labels) + bytes(8), "must begin with"),
    "a web page": (IMAGES, b"<html>no such page, we are sorry</html>", "must begin with"),
    "other pixels": (IMAGES, idx(images[:, :27, :27].contiguous()), "27x27 pixels"),
    "fewer labels": (LABELS, idx(labels[:4]), "5 images .* 4 labels"),
    "nothing": (IMAGES, idx(images[:0]), "announces 0 items"),
}


@pytest.mark.parametrize(("name", "content", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_named(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_digits(folder, train=True)
    assert name in str(caught.value)
    assert "again" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 5, 200, -4], ids=["empty", "header", "middle", "end"])
def test_a_truncated_gzip_file_is_named(folder, keep):
    (folder / IMAGES).unlink()
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(images))[:keep])
    with pytest.raises(ValueError, match=rf"{IMAGES}\.gz .*(gzip|header)"):
        load_digits(folder, train=True)


def test_a_flipped_bit_in_a_gzip_file_is_found(folder):
    content = bytearray(gzip.compress(idx(images)))
    content[len(content) // 2] ^= 1
    (folder / IMAGES).unlink()
    (folder / f"{IMAGES}.gz").write_bytes(content)
    with pytest.raises(ValueError, match="no whole gzip file"):
        load_digits(folder, train=True)


def test_a_file_as_large_as_mnists_must_be_mnists(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(
        struct.pack(">4I", 0x803, 10_000, 28, 28) + bytes(10_000 * 28 * 28)
    )
    with pytest.raises(ValueError, match=r"not its content .MD5"):
        load_digits(tmp_path, train=False)


def test_missing_files_and_folders(folder):
    with pytest.raises(FileNotFoundError, match=r"t10k-images-idx3-ubyte .* is missing in"):
        load_digits(folder, train=False)
    with pytest.raises(FileNotFoundError, match=r'"mnist", "embedded" or a folder .* .minst.'):
        load_digits("minst", train=True)


def pretend_torchvision(monkeypatch, dataset) -> None:
    package, datasets = ModuleType("torchvision"), ModuleType("torchvision.datasets")
    datasets.MNIST = dataset
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)


def test_mnist_is_downloaded_once(monkeypatch, tmp_path):
    calls = []

    def download(root, *, train, download):
        calls.append((root, train, download))
        raw = tmp_path / "interlace" / "MNIST" / "raw"
        raw.mkdir(parents=True)
        (raw / IMAGES).write_bytes(idx(images))
        (raw / LABELS).write_bytes(idx(labels))

    pretend_torchvision(monkeypatch, download)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        digits = load_digits("mnist", train=True)
        assert torch.equal(digits.images, images)
        assert digits.name == "mnist train"
    assert calls == [(str(tmp_path / "interlace"), True, True)]


def test_a_failed_download_says_what_else_there_is(monkeypatch, tmp_path):
    def download(*_, **__):
        raise RuntimeError("no route to host")

    pretend_torchvision(monkeypatch, download)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(OSError, match=f"{tmp_path}/interlace .no route to host.; .*embedded"):
        load_digits("mnist", train=True)


@pytest.mark.parametrize(
    ("source", "package", "install"),
    [("mnist", "torchvision", "torchvision"), ("embedded", "sklearn.datasets", "scikit-learn")],
)
def test_a_missing_package_is_named(monkeypatch, tmp_path, source, package, install):
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)  # another test may have imported it
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match=f"pip install {install}"):
        load_digits(source, train=True)


def test_embedded_digits():
    train, test = load_digits("embedded", train=True), load_digits("embedded", train=False)
    assert (len(train.images), len(test.images)) == (1438, 359)
    assert (train.name, test.name) == ("embedded train", "embedded test")
    for digits in (train, test):
        assert digits.labels.unique().tolist() == list(range(10))
        assert digits.images.amin() == 0
        assert digits.images.amax() == 255
    # the first is the zero in scikit-learn's documentation; its first row is 0 0 5 13 9 1 0 0
    assert train.labels[0] == 0
    cell = 13.5 * 8 / 28 - 0.5 - 3  # column 13 lies between the 13 and the 9
    expected = 255 / 16 * (13 * (1 - cell) + 9 * cell)
    assert abs(int(train.images[0, 0, 13]) - expected) <= 1


def test_embedded_digits_for_testing_are_not_among_those_for_training():
    everything = torch.cat(
        [load_digits("embedded", train=train).images.flatten(1) for train in (True, False)]
    )
    assert len(everything.unique(dim=0)) == 1797


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3).long(), "uint8 .M, 28, 28."),
        (torch.zeros(3, 28, 28), torch.zeros(3).long(), "got torch.float32"),
        (torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(2).long(), "int64 .3,."),
        (torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3), "labels.long"),
    ],
)
def test_digits_of_the_wrong_shape_or_type(images, labels, message):
    with pytest.raises(ValueError, match=message):
        Digits(images, labels, "made up")


@pytest.mark.data
def test_mnist(data_dir):
    train = load_digits(data_dir / "mnist", train=True)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.labels.bincount().tolist() == counts
    test = load_digits(data_dir / "mnist", train=False)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert len(test.images) == 10_000
    # Yann LeCun's page: a 20x20 box, centred by mass; the mean is the well-known 0.1307
    assert train.images.double().mean() / 255 == pytest.approx(0.1307, abs=1e-4)
