"""MNIST, Fashion-MNIST and CIFAR-10 as published: files, hashes, addresses and licenses.

A data set is a `Source`, constants only; `cnnkit.data.originals.loading` reads the files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cnnkit.data.originals.formats import CIFAR_RECORD
from cnnkit.errors import UserError


@dataclass(frozen=True)
class Source:
    """A published data set.

    Args:
        title: The publisher's name for it.
        image_shape: Channels, height, width.
        class_names: In the order of the labels.
        train: Names of the training files: images and labels (IDX), or the batches (CIFAR).
        test: The same for the test files.
        counts: Training and test images.
        sha256: SHA-256 of each file's content: decompressed, and for CIFAR in the form of the binary version.
        layouts: Where a file may be below a folder, the first match wins; ``archive::member`` is a file in an archive,
            ``{file}`` the file's name and ``{stem}`` the same without ``.bin``.
        download: The layout that a download fills.
        urls: Addresses; ``{name}`` is the name of the file to download.
        homepage: The publisher's page.
        license: The terms, if the publisher states them.
        packed_sha256: SHA-256 of archives and pickles, which are checked before they are opened.
    """

    title: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    counts: tuple[int, int]
    sha256: Mapping[str, str] = field(repr=False)
    layouts: tuple[str, ...]
    download: str
    urls: tuple[str, ...]
    homepage: str
    license: str
    packed_sha256: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """All files, training first."""
        return self.train + self.test

    def size(self, file: str) -> int:
        """Bytes of a file's raw content."""
        count = self.counts[file in self.test]
        if file.endswith(".bin"):
            return count // len(self.test if file in self.test else self.train) * CIFAR_RECORD
        return 16 + count * math.prod(self.image_shape) if "idx3" in file else 8 + count


_MNIST = Source(
    title="MNIST",
    image_shape=(1, 28, 28),
    class_names=tuple("0123456789"),
    train=("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    test=("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    counts=(60_000, 10_000),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    layouts=("MNIST/raw/{file}", "MNIST/raw/{file}.gz", "{file}", "{file}.gz"),
    download="MNIST/raw/{file}.gz",
    urls=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/{name}",
        "https://storage.googleapis.com/cvdf-datasets/mnist/{name}",
    ),
    homepage="http://yann.lecun.com/exdb/mnist/",
    license="CC BY-SA 3.0 as commonly stated; copyright Yann LeCun and Corinna Cortes",
)
SOURCES: dict[str, Source] = {
    "mnist": _MNIST,
    "fashion_mnist": replace(
        _MNIST,
        title="Fashion-MNIST",
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        sha256={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        layouts=("FashionMNIST/raw/{file}", "FashionMNIST/raw/{file}.gz", "{file}", "{file}.gz"),
        download="FashionMNIST/raw/{file}.gz",
        # The publisher's own server speaks no https; the hashes make that safe, but it comes last.
        urls=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{name}",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}",
        ),
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        license="MIT, copyright 2017 Zalando SE",
    ),
    "cifar10": Source(
        title="CIFAR-10",
        image_shape=(3, 32, 32),
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test=("test_batch.bin",),
        counts=(50_000, 10_000),
        sha256={
            "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        },
        layouts=(
            "cifar-10-batches-bin/{file}",
            "cifar-10-batches-py/{stem}",
            "cifar-10-binary.tar.gz::cifar-10-batches-bin/{file}",
            "cifar-10-python.tar.gz::cifar-10-batches-py/{stem}",
            "{file}",
            "{stem}",
        ),
        download="cifar-10-binary.tar.gz::cifar-10-batches-bin/{file}",  # holds no pickles
        urls=("https://www.cs.toronto.edu/~kriz/{name}",),
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        license="none stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        packed_sha256={
            "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
            "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
            "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
            "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
            "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
            "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
        },
    ),
}

# Drawn by tests/support/draw_sample.py, which also prints this table.
SAMPLE = replace(
    SOURCES["fashion_mnist"],
    title="Fashion-MNIST sample",
    counts=(10_000, 2_000),
    sha256={
        "train-images-idx3-ubyte": "ebca61dfa5a101cb86d00ab67cce10677c151a672c0bb2792a1b31671203ef63",
        "train-labels-idx1-ubyte": "25857998263ee097596289d01b87542b831c33a173fd7f8afb29b1819688a0e8",
        "t10k-images-idx3-ubyte": "c5a714c8333128198c435d5cf34112694a2c057d95b12102e9d5434f1044f047",
        "t10k-labels-idx1-ubyte": "84f6e9c5744eb537b58f75e5923734c39754a0b9be2c13800594fe461de74a1c",
    },
    layouts=("{file}.xz",),
)


def find_source(name: str) -> Source:
    """Look a data set up by its short name.

    Raises:
        UserError: There is none of that name.
    """
    if name not in SOURCES:
        raise UserError(f"There is no data set {name!r}; there are {', '.join(SOURCES)}.")
    return SOURCES[name]
