"""The facts of each domain, and how a person gets its images.

Counts are those of the whole set. Where the makers did not divide a set, `num_train` and `num_test` are 80 and
20 % of it, as the paper divides it.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path

from udbench import DataError, Domain, DomainSpec, Source
from udbench_domains.sources import DOWNLOADS
from udbench_domains.trees import TREES


def _open(name: str, module: str, function: str, root: Path) -> Source:
    """Open a folder with a reader. Readers need numpy, so they are imported only here, not when domains are listed."""
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{name}: there is no folder {root}; put the images there (how to get them: udbench show {name})"
        )
    return getattr(importlib.import_module(f"udbench_domains.readers.{module}"), function)(root)


def domain(spec: DomainSpec, instructions: str, module: str, function: str = "open_folder") -> Domain:
    return Domain(
        spec=spec,
        open=partial(_open, spec.name, module, function),
        instructions=instructions,
        download=DOWNLOADS.get(spec.name),
        example=TREES[spec.name],
    )


FOLDERS = "train/<class>/* with test/<class>/*"

DOMAINS = (
    domain(
        DomainSpec(
            name="awa",
            num_classes=50,
            num_train=24_380,
            num_test=6_095,
            channels=3,
            flip=True,
            content="photographs of fifty kinds of animals",
            licence="each image its own; unknown for the first edition",
            homepage="https://cvml.ista.ac.at/AwA2/",
            citation="Lampert, Nickisch, Harmeling. Learning to detect unseen object classes by between-class "
            "attribute transfer. CVPR 2009",
            version="2",
        ),
        "The paper's first edition (30,475 images) is no longer given out; its makers offer AwA2 (37,322 other images "
        "of the same fifty classes), whose results are not comparable with the paper's. Get AwA2-data.zip from the "
        "homepage and unpack it so that awa/Animals_with_Attributes2/JPEGImages/<class>/<class>_10001.jpg (or "
        "awa/JPEGImages/…) are there; the first edition goes to awa/Animals_with_Attributes/JPEGImages/<class>/"
        "<class>_0001.jpg. Both at once are refused, and the number of images shows which one was used. Also read: "
        f"awa/<class>/*, or awa/{FOLDERS}, classes as in grizzly+bear.",
        "awa",
    ),
    domain(
        DomainSpec(
            name="caltech256",
            num_classes=257,
            num_train=24_486,
            num_test=6_121,
            channels=3,
            flip=True,
            content="photographs of 256 kinds of objects, and clutter",
            licence="CC BY 4.0",
            homepage="https://data.caltech.edu/records/nyy15-4j048",
            citation="Griffin, Holub, Perona. Caltech-256 object category dataset. Technical report 7694, California "
            "Institute of Technology, 2007",
            version="2",
        ),
        "Get 256_ObjectCategories.tar from the homepage, or let torchvision.datasets.Caltech256 fetch it, and unpack "
        "it so that caltech256/256_ObjectCategories/001.ak47/001_0001.jpg (or "
        "caltech256/caltech256/256_ObjectCategories/…) are there (257.clutter is one of the 257 classes). Also read: "
        f"caltech256/<class>/*, or caltech256/{FOLDERS}, classes as in 001.ak47.",
        "pictures",
        "open_caltech256",
    ),
    domain(
        DomainSpec(
            name="cifar10",
            num_classes=10,
            num_train=50_000,
            num_test=10_000,
            channels=3,
            flip=True,
            content="photographs of 32x32 pixels of ten kinds of animals and vehicles",
            licence="unknown",
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            citation="Krizhevsky. Learning multiple layers of features from tiny images. Technical report, University "
            "of Toronto, 2009",
        ),
        "Get cifar-10-python.tar.gz (or cifar-10-binary.tar.gz) from the homepage, or let torchvision.datasets.CIFAR10 "
        "fetch it, and unpack it so that cifar10/cifar-10-batches-py/data_batch_1 (or "
        f"cifar10/cifar-10-batches-bin/data_batch_1.bin) is there. Also read: cifar10/{FOLDERS}.",
        "cifar10",
    ),
    domain(
        DomainSpec(
            name="daimler",
            num_classes=2,
            num_train=29_400,
            num_test=19_600,
            channels=1,
            flip=True,
            content="grey crops of 18x36 pixels from a car's camera, with and without a pedestrian",
            licence="research use on the provider's terms",
            homepage="http://www.gavrila.net/Datasets/Daimler_Pedestrian_Benchmark_D/daimler_pedestrian_benchmark_d.html",
            citation="Munder, Gavrila. An experimental study on pedestrian classification. IEEE Transactions on "
            "Pattern Analysis and Machine Intelligence 28(11), 2006",
        ),
        "Get the base set of the Daimler mono pedestrian classification benchmark from the homepage, by hand and on "
        "its terms, and unpack it so that daimler/1/ped_examples/*.pgm and daimler/1/non-ped_examples/*.pgm are there, "
        f"and the same for 2, 3, T1 and T2. Also read: daimler/{FOLDERS}, classes ped and non-ped.",
        "daimler",
    ),
    domain(
        DomainSpec(
            name="gtsrb",
            num_classes=43,
            num_train=39_209,
            num_test=12_630,
            channels=3,
            flip=True,
            content="photographs of German traffic signs, whole picture",
            licence="unknown",
            homepage="https://benchmark.ini.rub.de/",
            citation="Stallkamp, Schlipsing, Salmen, Igel. Man vs. computer: benchmarking machine learning algorithms "
            "for traffic sign recognition. Neural Networks 32, 2012",
        ),
        "Get GTSRB_Final_Training_Images.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip (see the "
        "homepage) and unpack all three in the folder gtsrb, so that "
        "gtsrb/GTSRB/Final_Training/Images/00000/GT-00000.csv, gtsrb/GTSRB/Final_Test/Images/00000.ppm and "
        "gtsrb/GT-final_test.csv are there. What torchvision.datasets.GTSRB fetches (gtsrb/GTSRB/Training/00000/*.ppm, "
        "an earlier and smaller training set) is read too and recorded as incomplete. "
        f"Also read: gtsrb/{FOLDERS}, classes 0 to 42 or 00000 to 00042.",
        "gtsrb",
    ),
    domain(
        DomainSpec(
            name="mnist",
            num_classes=10,
            num_train=60_000,
            num_test=10_000,
            channels=1,
            flip=False,
            content="handwritten digits, light on dark",
            licence="CC BY-SA 3.0",
            homepage="http://yann.lecun.com/exdb/mnist/",
            citation="LeCun, Bottou, Bengio, Haffner. Gradient-based learning applied to document recognition. "
            "Proceedings of the IEEE 86(11), 1998",
        ),
        "Get train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
        "(with .gz or without), or let torchvision.datasets.MNIST fetch them, and put them into mnist/MNIST/raw/ or "
        f"mnist/. Also read: mnist/{FOLDERS}, classes 0 to 9.",
        "mnist",
    ),
    domain(
        DomainSpec(
            name="omniglot",
            num_classes=1_623,
            num_train=25_968,
            num_test=6_492,
            channels=1,
            flip=False,
            content="handwritten characters of fifty alphabets, twenty drawings of each",
            licence="MIT",
            homepage="https://github.com/brendenlake/omniglot",
            citation="Lake, Salakhutdinov, Tenenbaum. Human-level concept learning through probabilistic program "
            "induction. Science 350(6266), 2015",
            version="2",
        ),
        "Get images_background.zip and images_evaluation.zip from the folder python of the homepage, or let "
        "torchvision.datasets.Omniglot fetch both, and unpack them so that "
        "omniglot/images_background/<alphabet>/<character>/*.png and omniglot/images_evaluation/… are there (or both "
        "in omniglot/omniglot-py/). Also read: omniglot/train/<alphabet>/<character>/* with omniglot/test/….",
        "omniglot",
    ),
    domain(
        DomainSpec(
            name="plankton",
            num_classes=121,
            num_train=24_269,
            num_test=6_067,
            channels=1,
            flip=True,
            content="grey pictures of plankton from an underwater camera",
            licence="the competition's rules for Kaggle's copy; otherwise unknown",
            homepage="https://www.kaggle.com/c/datasciencebowl",
            citation="Cowen, Sponaugle, Robinson, Luo. PlanktonSet 1.0: plankton imagery data collected from F.G. "
            "Walton Smith in Straits of Florida from 2014-06-03 to 2014-06-06 and used in the 2015 National Data "
            "Science Bowl. NOAA, 2015",
            version="2",
        ),
        "Get train.zip of the National Data Science Bowl 2015 from the homepage (an account is needed) and unpack it "
        "so that plankton/train/<class>/<id>.jpg are there; the unlabelled test pictures are not used. "
        f"Also read: plankton/<class>/*, or plankton/{FOLDERS}.",
        "pictures",
        "open_plankton",
    ),
    domain(
        DomainSpec(
            name="sketches",
            num_classes=250,
            num_train=16_000,
            num_test=4_000,
            channels=1,
            flip=True,
            content="line drawings of 250 kinds of everyday things",
            licence="CC BY 4.0",
            homepage="https://cybertron.cg.tu-berlin.de/eitz/projects/classifysketch/",
            citation="Eitz, Hays, Alexa. How do humans sketch objects? ACM Transactions on Graphics 31(4), 2012",
        ),
        "Get the PNG images of the TU Berlin sketches from the homepage and unpack them so that "
        f"sketches/png/<class>/<id>.png are there. Also read: sketches/<class>/*, or sketches/{FOLDERS}.",
        "pictures",
        "open_sketches",
    ),
    domain(
        DomainSpec(
            name="svhn",
            num_classes=10,
            num_train=73_257,
            num_test=26_032,
            channels=3,
            flip=False,
            content="house numbers of 32x32 pixels, labelled by the digit in the middle",
            licence="non-commercial use only",
            homepage="http://ufldl.stanford.edu/housenumbers/",
            citation="Netzer, Wang, Coates, Bissacco, Wu, Ng. Reading digits in natural images with unsupervised "
            "feature learning. NIPS workshop on deep learning and unsupervised feature learning, 2011",
        ),
        "Get train_32x32.mat and test_32x32.mat (cropped digits, format 2) from the homepage, or let "
        "torchvision.datasets.SVHN fetch them, and put both into svhn/. extra_32x32.mat is not used. "
        f"Also read: svhn/{FOLDERS}, classes 0 to 9.",
        "svhn",
    ),
    domain(
        DomainSpec(
            name="caltech101",
            num_classes=102,
            num_train=7_315,
            num_test=1_829,
            channels=3,
            flip=True,
            content="photographs of 101 kinds of objects, and background",
            licence="CC BY 4.0",
            homepage="https://data.caltech.edu/records/mzrjq-6wc02",
            citation="Fei-Fei, Fergus, Perona. Learning generative visual models from few training examples. CVPR "
            "workshop on generative-model based vision, 2004",
        ),
        "Get caltech-101.zip from the homepage, unpack it and 101_ObjectCategories.tar.gz in it, so that "
        "caltech101/101_ObjectCategories/<class>/image_0001.jpg are there (BACKGROUND_Google is one of the 102 "
        f"classes). Also read: caltech101/<class>/*, or caltech101/{FOLDERS}. It is a set of its own, not caltech256.",
        "pictures",
        "open_caltech101",
    ),
)
