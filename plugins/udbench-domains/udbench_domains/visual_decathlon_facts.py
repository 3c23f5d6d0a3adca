"""The ten domains of the Visual Decathlon: classes, numbers of images, content and citation."""

from __future__ import annotations

# By the makers' name, in the order of their table: number of classes; images of train, val and test; whether a mirrored
# image keeps its class; content; citation.
FACTS: dict[str, tuple[int, tuple[int, int, int], bool, str, str]] = {
    "imagenet12": (
        1_000,
        (1_232_167, 49_000, 48_238),
        True,
        "photographs of a thousand kinds of things, of ILSVRC 2012",
        "Russakovsky et al. ImageNet large scale visual recognition challenge. International Journal of Computer "
        "Vision 115(3), 2015",
    ),
    "aircraft": (
        100,
        (3_334, 3_333, 3_333),
        True,
        "photographs of a hundred variants of aeroplanes (FGVC-Aircraft)",
        "Maji, Rahtu, Kannala, Blaschko, Vedaldi. Fine-grained visual classification of aircraft. arXiv:1306.5151, "
        "2013",
    ),
    "cifar100": (
        100,
        (40_000, 10_000, 10_000),
        True,
        "photographs of a hundred kinds of things, enlarged from 32x32 pixels",
        "Krizhevsky. Learning multiple layers of features from tiny images. Technical report, University of Toronto, "
        "2009",
    ),
    "daimlerpedcls": (
        2,
        (23_520, 5_880, 19_600),
        True,
        "grey crops from a car's camera, with and without a pedestrian, enlarged from 18x36 pixels",
        "Munder, Gavrila. An experimental study on pedestrian classification. IEEE Transactions on Pattern Analysis "
        "and Machine Intelligence 28(11), 2006",
    ),
    "dtd": (
        47,
        (1_880, 1_880, 1_880),
        True,
        "photographs of textures, by the word that describes them",
        "Cimpoi, Maji, Kokkinos, Mohamed, Vedaldi. Describing textures in the wild. CVPR 2014",
    ),
    "gtsrb": (
        43,
        (31_367, 7_842, 12_630),
        False,
        "photographs of German traffic signs",
        "Stallkamp, Schlipsing, Salmen, Igel. Man vs. computer: benchmarking machine learning algorithms for traffic "
        "sign recognition. Neural Networks 32, 2012",
    ),
    "vgg-flowers": (
        102,
        (1_020, 1_020, 6_149),
        True,
        "photographs of 102 kinds of flowers",
        "Nilsback, Zisserman. Automated flower classification over a large number of classes. Indian Conference on "
        "Computer Vision, Graphics and Image Processing, 2008",
    ),
    "omniglot": (
        1_623,
        (17_853, 6_492, 8_115),
        False,
        "handwritten characters of fifty alphabets",
        "Lake, Salakhutdinov, Tenenbaum. Human-level concept learning through probabilistic program induction. Science "
        "350(6266), 2015",
    ),
    "svhn": (
        10,
        (47_217, 26_040, 26_032),
        False,
        "house numbers, labelled by the digit in the middle, enlarged from 32x32 pixels",
        "Netzer, Wang, Coates, Bissacco, Wu, Ng. Reading digits in natural images with unsupervised feature learning. "
        "NIPS workshop on deep learning and unsupervised feature learning, 2011",
    ),
    "ucf101": (
        101,
        (7_585, 1_952, 3_783),
        True,
        "videos of 101 actions, each drawn into one dynamic image",
        "Soomro, Zamir, Shah. UCF101: a dataset of 101 human action classes from videos in the wild. CRCV-TR-12-01, "
        "2012; Bilen, Fernando, Gavves, Vedaldi, Gould. Dynamic image networks for action recognition. CVPR 2016",
    ),
}

CLASSES = {name: facts[0] for name, facts in FACTS.items()}
