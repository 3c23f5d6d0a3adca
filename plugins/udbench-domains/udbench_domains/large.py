"""The three large domains of the paper's section 4.2: their specifications, and instructions to get their images.

Written in the same way as `catalogue.py`.
"""

from __future__ import annotations

from udbench import Domain, DomainSpec
from udbench_domains.catalogue import FOLDERS, domain

LARGE: tuple[Domain, ...] = (
    domain(
        DomainSpec(
            name="imagenet",
            num_classes=1_000,
            num_train=1_281_167,
            num_test=50_000,
            channels=3,
            flip=True,
            content="photographs of a thousand kinds of things, of ILSVRC 2012; its validation images are scored",
            licence="research and education on the provider's terms; each image its own",
            homepage="https://image-net.org/challenges/LSVRC/2012/",
            citation="Russakovsky et al. ImageNet large scale visual recognition challenge. International Journal of "
            "Computer Vision 115(3), 2015",
        ),
        "Get ILSVRC2012_img_train.tar (138 GB), ILSVRC2012_img_val.tar (6 GB) and ILSVRC2012_devkit_t12.tar.gz from "
        "the homepage (an account is needed) and put all three into imagenet/ as they are: images are read in place. "
        "Or unpack them, so that imagenet/train/<wnid>/*.JPEG and imagenet/val/<wnid>/*.JPEG are there, classes as "
        "in n01440764 (imagenet/val/*.JPEG, not sorted, will do where the devkit is beside it). Or put webdataset "
        "shards there, as imagenet/imagenet1k-train-0000.tar and imagenet/imagenet1k-validation-00.tar, which hold "
        f"KEY.jpg with KEY.cls, the class's number in the sorted thousand. Also read: imagenet/{FOLDERS}.",
        "imagenet",
    ),
    domain(
        DomainSpec(
            name="vggface",
            num_classes=2_622,
            # 80 and 20 % of the paper's "2.6 million". The lists name 2,622,000 images, of which many are gone.
            num_train=2_080_000,
            num_test=520_000,
            channels=3,
            flip=True,
            content="faces of 2,622 people",
            licence="each image its own; the lists on the provider's terms",
            homepage="https://www.robots.ox.ac.uk/~vgg/data/vgg_face/",
            citation="Parkhi, Vedaldi, Zisserman. Deep face recognition. BMVC 2015",
        ),
        "Get vgg_face_dataset.tar.gz from the homepage: lists of 2,622,000 addresses, a thousand for each person, of "
        "which many are dead. The images have to be fetched by hand from what still answers, or from a copy that you "
        "have a right to use, and laid out as vggface/<person>/*.jpg (or vggface/vgg_face_dataset/<person>/*.jpg, a "
        "plain tar vggface/<person>.tar for each person, or one plain tar with <person>/*.jpg in it), persons as in "
        "A.J._Buckley. They are used as they are: the lists also give a box for each face, and cutting it out is up to "
        "you. Put the lists' folder files/ into vggface/ too: then persons without an image keep their label. "
        f"Also read: vggface/{FOLDERS}.",
        "vggface",
    ),
    domain(
        DomainSpec(
            name="synth90k",
            num_classes=88_172,
            num_train=7_224_612,
            num_test=891_927,
            channels=3,
            flip=False,
            content="drawn images of single words, from a lexicon of some 90,000",
            licence="unknown",
            homepage="https://www.robots.ox.ac.uk/~vgg/data/text/",
            citation="Jaderberg, Simonyan, Vedaldi, Zisserman. Synthetic data and artificial neural networks for "
            "natural scene text recognition. NIPS deep learning workshop, 2014",
        ),
        "Get mjsynth.tar.gz (10 GB) from the homepage and unpack it in synth90k/, so that "
        "synth90k/mnt/ramdisk/max/90kDICT32px/annotation_train.txt, annotation_test.txt and lexicon.txt are there, "
        "with the images beside them (or in synth90k/90kDICT32px/, or in synth90k/ itself). Or only gunzip it, to "
        "synth90k/mjsynth.tar, which is read in place and saves nine million files. The 802,734 images of "
        "annotation_val.txt are left out. A few images of the set are known to be broken: prepare it with "
        "--skip-damaged. What udbench data make-words draws is laid out alike and serves as synth90k/ too, though its "
        f"results do not compare. Also read: synth90k/{FOLDERS}, classes being words, in the order of "
        "synth90k/lexicon.txt where there is one.",
        "synth90k",
    ),
)
