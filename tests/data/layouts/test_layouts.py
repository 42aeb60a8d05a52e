"""Label files in each layout: ids, labels and places against what was written, and their mistakes."""

from pathlib import Path

import pytest

from benchmark.data.errors import DataError
from benchmark.data.indexing.locate import locate_clips
from benchmark.data.layouts.find import find_listing
from benchmark.data.layouts.listing import Listing
from benchmark.data.layouts.names import class_key, clip_name, split_from_name
from benchmark.data.roots import Root
from tests.data.trees import hmdb_labels, kinetics_csv, something_v1_labels, something_v2_labels, ucf_labels

UCF = [f"Class{i:03d}" for i in range(101)]


def listed(name: str, folder: Path, labels: Path | None = None) -> Listing:
    return find_listing(name, Root(name.partition("-2")[0], folder, labels or folder, "test"))


def labels_of(listing: Listing, split: str) -> dict[str, int]:
    return {clip.id: clip.label for clip in listing.splits[split]}


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def where(root: Path, listing: Listing, split: str) -> dict[str, str | None]:
    return {one.clip.id: next(iter(one.paths), None) for one in locate_clips(root, listing)[0][split]}


def test_names_are_compared_without_suffix_case_or_accent_form() -> None:
    assert clip_name("a.b.MP4.webm") == "a.b"
    assert clip_name("v.AVI") == "v"
    assert clip_name("12.jpg") == "12.jpg"
    assert clip_name("e\N{COMBINING ACUTE ACCENT}.mp4") == "\N{LATIN SMALL LETTER E WITH ACUTE}"
    assert class_key("petting_animal_(not_cat)") == class_key("petting animal (not cat)")
    names = ("train_256", "val_256", "testing", "test_256", "trainval", "train_val", "frames")
    assert [split_from_name(name) for name in names] == ["train", "val", "val", "val", None, None, None]


def test_something_v1_labels_are_ranks_of_the_sorted_names(tmp_path: Path) -> None:
    classes = ["Putting, then lifting", "Approaching [thing]", "Moving <up>"]
    something_v1_labels(tmp_path / "labels dir", {"7": classes[0], "12": classes[2]}, {"3": classes[1]}, classes)
    listing = listed("something-v1", tmp_path)
    assert listing.classes == ("Approaching [thing]", "Moving <up>", "Putting, then lifting")
    assert labels_of(listing, "train") == {"7": 2, "12": 1}
    assert labels_of(listing, "val") == {"3": 0}


def test_something_v1_with_an_unknown_class_and_a_repeated_id(tmp_path: Path) -> None:
    something_v1_labels(tmp_path, {"1": "A", "2": "C"}, {"3": "B"}, ["A", "B"])
    file = tmp_path / "something-something-v1-train.csv"
    file.write_text(file.read_text() + "1;A\n1;B\n3;B\n")
    listing = listed("something-v1", tmp_path)
    assert labels_of(listing, "train") == {"1": 0, "3": 1}
    assert listing.duplicates["train"] == ("1: listed again at something-something-v1-train.csv:3",)
    assert [line[:2] for line in listing.disagreements["train"]] == ["2:", "1:"]
    assert listing.duplicates["val"] == ("3: listed for training, too",)
    file.write_text("1,A\n")
    with pytest.raises(DataError, match=r"train.csv:1: '1,A' is not `id;class name`"):
        listed("something-v1", tmp_path)
    file.unlink()
    with pytest.raises(DataError, match="not the file of train"):
        listed("something-v1", tmp_path)


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_v2_labels_are_those_of_the_labels_file(tmp_path: Path, prefix: str) -> None:
    numbers = {"Putting something down": "0", "Lifting something up": "1"}
    train = {"10": "Putting [something] down", "11": "Lifting [something] up"}
    something_v2_labels(tmp_path / "labels", train, {"20": "Lifting [something] up"}, numbers, prefix)
    listing = listed("something-v2", tmp_path)
    assert labels_of(listing, "train") == {"10": 0, "11": 1}
    assert labels_of(listing, "val") == {"20": 1}
    assert listing.classes == ("Putting something down", "Lifting something up")
    (tmp_path / "labels" / f"{prefix}train.json").write_text('[{"id": 1')
    with pytest.raises(DataError, match=r"train.json: not valid JSON"):
        listed("something-v2", tmp_path)


def test_ucf101_takes_the_official_split_that_the_name_says(tmp_path: Path) -> None:
    one, two = "Class001/v_Class001_g01_c01.avi", "Class002/v_Class002_g02_c01.avi"
    ucf_labels(tmp_path / "ucfTrainTestlist", UCF, {1: ([two], [one]), 2: ([one], [two])})
    assert labels_of(listed("ucf101", tmp_path), "train") == {"v_Class002_g02_c01": 2}
    assert labels_of(listed("ucf101", tmp_path), "val") == {"v_Class001_g01_c01": 1}
    assert labels_of(listed("ucf101-2", tmp_path), "val") == {"v_Class002_g02_c01": 2}
    (tmp_path / "ucfTrainTestlist/trainlist01.txt").write_text(f"{two} 7\n")
    listing = listed("ucf101", tmp_path)
    assert labels_of(listing, "train") == {"v_Class002_g02_c01": 2}
    assert "labelled 7, its folder is class 3" in listing.disagreements["train"][0]


def test_hmdb51_flags(tmp_path: Path) -> None:
    files = {"a [x] #1.avi": (1, 2, 0), "b.avi": (2, 1, 1), "c.avi": (0, 1, 2)}
    hmdb_labels(tmp_path / "splits", {"wave": files, "brush_hair": {"d.avi": (1, 1, 1)}})
    assert labels_of(listed("hmdb51", tmp_path), "train") == {"d": 0, "a [x] #1": 1}
    assert labels_of(listed("hmdb51", tmp_path), "val") == {"b": 1}
    assert labels_of(listed("hmdb51-2", tmp_path), "train") == {"d": 0, "b": 1, "c": 1}


@pytest.mark.parametrize("one_file", [True, False])
def test_kinetics_csv_names_clips_by_id_and_times(tmp_path: Path, one_file: bool) -> None:
    clips = [("zumba", "-abcdefghi1", 5, "train"), ("abseiling", "abcdefghij2", 120, "train")]
    held = [("zumba", "_bcdefghij3", 0, "validate")]
    if one_file:
        kinetics_csv(tmp_path / "kinetics.csv", [*clips, *held, ("", "abcdefghij4", 0, "test")])
    else:
        kinetics_csv(tmp_path / "annotations/kinetics_train.csv", clips, split_column=False)
        kinetics_csv(tmp_path / "annotations/kinetics_val.csv", held, split_column=False)
    listing = listed("kinetics400", tmp_path)
    assert labels_of(listing, "train") == {"-abcdefghi1_000005_000015": 1, "abcdefghij2_000120_000130": 0}
    assert labels_of(listing, "val") == {"_bcdefghij3_000000_000010": 1}
    touch(tmp_path, "train_256/zumba/-abcdefghi1.mp4", "train_256/abseiling/abcdefghij2_000120_000130.mp4.MKV")
    assert where(tmp_path, listing, "train") == {
        "-abcdefghi1_000005_000015": "train_256/zumba/-abcdefghi1.mp4",
        "abcdefghij2_000120_000130": "train_256/abseiling/abcdefghij2_000120_000130.mp4.MKV",
    }


def test_a_tree_of_class_folders_needs_no_label_files(tmp_path: Path) -> None:
    touch(tmp_path, "train_256/b c/1.mp4", "train_256/a/2.mp4", "val_256/a/3.mp4", "val_256/b c/1.mp4", "test/x/9.mp4")
    listing = listed("kinetics400", tmp_path)
    assert labels_of(listing, "train") == {"1": 1, "2": 0}
    assert where(tmp_path, listing, "train") == {"1": "train_256/b c/1.mp4", "2": "train_256/a/2.mp4"}
    assert where(tmp_path, listing, "val") == {"1": "val_256/b c/1.mp4", "3": "val_256/a/3.mp4"}
    touch(tmp_path, "train/a/2.mp4", "train/b c/1.mp4")
    with pytest.raises(DataError, match="train, train_256 could all be the train split"):
        listed("kinetics400", tmp_path)


def kinetics_of(folder: Path, classes: int) -> None:
    clips = [
        (f"class {c:03d}", f"id{c:04d}{i:05d}", 0, "train" if i < 2 else "val")
        for c in range(classes)
        for i in range(3)
    ]
    kinetics_csv(folder / "kinetics.csv", clips)


def test_minikinetics_by_a_list_of_classes(tmp_path: Path) -> None:
    kinetics_of(tmp_path, 400)
    with pytest.raises(DataError, match="add a text file with its class names"):
        listed("minikinetics", tmp_path)
    lines = "".join(f"class_{c:03d}\n" for c in range(399, 0, -2))
    (tmp_path / "mini_classes.txt").write_text(lines)
    listing = listed("minikinetics", tmp_path)
    assert len(listing.classes) == 200
    assert len(listing.splits["train"]) == 400
    assert labels_of(listing, "val")["id000300002_000000_000010"] == 1


def test_minikinetics_by_lists_of_ids_that_move_clips_between_splits(tmp_path: Path) -> None:
    kinetics_of(tmp_path, 400)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train_ytid_list.txt").write_text("id000500000\nid000900002\nid999999999\n")
    (tmp_path / "lists/val_ytid_list.txt").write_text("id000500001\n")
    listing = listed("minikinetics", tmp_path)
    assert labels_of(listing, "train") == {"id000500000_000000_000010": 0, "id000900002_000000_000010": 1}
    assert labels_of(listing, "val") == {"id000500001_000000_000010": 0}


def test_frame_lists_of_both_kinds_with_blanks_in_paths(tmp_path: Path) -> None:
    (tmp_path / "train_videofolder.txt").write_text("a dir/clip 1x 40 3\nb/2x 38 0\n")
    (tmp_path / "val_videofolder.txt").write_text("a dir/3x.mp4 1\n")
    listing = listed("something-v1", tmp_path)
    assert [(c.id, c.frames, c.label, c.path) for c in listing.splits["train"]] == [
        ("clip 1x", 40, 3, "a dir/clip 1x"),
        ("2x", 38, 0, "b/2x"),
    ]
    assert [(c.id, c.frames, c.label) for c in listing.splits["val"]] == [("3x", 0, 1)]
    (tmp_path / "val_videofolder.txt").write_text("a dir/3x.mp4 1\nbroken line\n")
    with pytest.raises(DataError, match=r"val_videofolder.txt:2: 'broken line' is not"):
        listed("something-v1", tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("abseiling/id2 2 10 5", "has 3 numbers after its path"),  # path start n_frames label
        ("abseiling/id3 12 1 4", "has 3 numbers after its path"),  # two labels
        ("abseiling/id3 12 1,4", "mixes commas and blanks"),
        ("abseiling/id3 1,4", "mixes commas and blanks"),
        ("abseiling/id3,0,12,4", "has 3 numbers after its path"),
        ("abseiling/id3,abseiling,12,4", "has 4 columns"),
        ("0,Zoo,v_1,30,5", "has 5 columns"),
        ("abseiling/id3 0.0 10.0 4", "has 3 numbers after its path"),
        ("abseiling/id3 12 -1", "the label is no whole number"),
        ("abseiling/id3 1.5 3", "n_frames is no whole number"),
        ("clip 1 40 3", "separate the columns by tabs"),
        ("abseiling/id3\t1\t2\t3", "has 3 numbers after its path"),
    ],
)
def test_lists_with_other_columns_are_refused_with_the_line(line: str, said: str, tmp_path: Path) -> None:
    for before in ("abseiling/id0 12 0\n", ""):
        (tmp_path / "kinetics400_train_list_rawframes.txt").write_text(f"{before}{line}\n")
        (tmp_path / "kinetics400_val_list_rawframes.txt").write_text("abseiling/iv0 12 0\n")
        with pytest.raises(DataError, match=rf"rawframes\.txt:{2 if before else 1}: .*`path n_frames label`.*{said}"):
            listed("kinetics400", tmp_path)


@pytest.mark.parametrize(
    ("lines", "clips"),
    [
        ("path,label\ntrain/a/x1.mp4,0\n", [("x1", 0, 0)]),
        (",path,label\n0,train/a/x1.mp4,3\n", [("x1", 0, 3)]),
        ("label,n_frames,video\n2,31,a/x1\n", [("x1", 31, 2)]),
        ("video label\na/x1 4\n", [("x1", 0, 4)]),
        ('path,label\n"a, b/x 1.mp4",5\n', [("x 1", 0, 5)]),
        ('"clip 1",40,3\n', [("clip 1", 40, 3)]),
        ("clip 1\t40\t3\n", [("clip 1", 40, 3)]),
        ("/old/a, b/x a.mp4 0\n", [("x a", 0, 0)]),
        ("a/x1, 40, 3\n", [("x1", 40, 3)]),
        ("12 40 3\n", [("12", 40, 3)]),
    ],
)
def test_lists_with_a_header_and_with_other_separators(
    lines: str, clips: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text(lines)
    (tmp_path / "val.csv").write_text("path,label\nval/a/y1.mp4,0\n")
    listing = listed("kinetics400", tmp_path)
    assert [(clip.id, clip.frames, clip.label) for clip in listing.splits["train"]] == clips
    assert labels_of(listing, "val") == {"y1": 0}


def test_a_header_may_come_with_class_names_and_unknown_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("path,label\nx1.mp4,tai chi\nx2.mp4,abseiling\n")
    (tmp_path / "val.csv").write_text("path,label\ny1.mp4,tai_chi\n")
    listing = listed("kinetics400", tmp_path)
    assert listing.classes == ("abseiling", "tai chi")
    assert (labels_of(listing, "train"), labels_of(listing, "val")) == ({"x1": 1, "x2": 0}, {"y1": 1})
    (tmp_path / "val.csv").write_text("path,label\ny1.mp4\n")
    with pytest.raises(DataError, match=r"val\.csv:2: .*it has 1 columns, its header 2"):
        listed("kinetics400", tmp_path)
    (tmp_path / "val.csv").write_text("path,label\ny1.mp4,7\n")
    with pytest.raises(DataError, match=r"val\.csv:2: the label is a number, and a class name in other lines"):
        listed("kinetics400", tmp_path)
    for name in ("train", "val"):
        (tmp_path / f"{name}.csv").write_text("vid,cls\nx1.mp4,0\n")
    with pytest.raises(DataError, match=r"no label files of .* train\.csv begins with 'vid,cls'"):
        listed("kinetics400", tmp_path)


def test_a_class_in_two_spellings_is_one_class(tmp_path: Path) -> None:
    for i in range(250):
        touch(tmp_path, f"train/doing {i:03d}/t{i:03d}.mp4", f"val/doing_{i:03d}/v{i:03d}.mp4")
    listing = listed("kinetics400", tmp_path)
    assert listing.classes == tuple(f"doing {i:03d}" for i in range(250))
    assert labels_of(listing, "train") == {f"t{i:03d}": i for i in range(250)}
    assert labels_of(listing, "val") == {f"v{i:03d}": i for i in range(250)}
    assert listing.notes == (
        "250 classes are spelled in more than one way, and taken for one each: 'doing 000' and 'doing_000'",
    )
    assert all(where(tmp_path, listing, split) for split in ("train", "val"))
    touch(tmp_path, "train/Doing-001/t999.mp4")  # the same in one split
    assert labels_of(listed("kinetics400", tmp_path), "train")["t999"] == 1


def test_folders_leave_signs_out_but_two_classes_of_a_split_are_not_made_one(tmp_path: Path) -> None:
    touch(tmp_path, "train/petting animal (not cat)/1.mp4", "train/a/2.mp4", "val/petting_animal_not_cat/3.mp4")
    touch(tmp_path, "val/a/4.mp4")
    listing = listed("kinetics400", tmp_path)
    assert listing.classes == ("a", "petting animal (not cat)")
    assert labels_of(listing, "val") == {"3": 1, "4": 0}
    touch(tmp_path, "train/petting animal not cat/5.mp4")
    with pytest.raises(DataError, match="differ in signs only: one class or two"):
        listed("kinetics400", tmp_path)


def test_class_names_of_csv_files_and_of_official_lists_in_two_spellings(tmp_path: Path) -> None:
    kinetics_csv(tmp_path / "k/train.csv", [("tai chi", "aaaaaaaaaa1", 0, ""), ("b", "aaaaaaaaaa2", 0, "")], False)
    kinetics_csv(tmp_path / "k/val.csv", [("tai_chi", "aaaaaaaaaa3", 0, "")], False)
    listing = listed("kinetics400", tmp_path / "k")
    assert listing.classes == ("b", "tai chi")
    assert labels_of(listing, "val") == {"aaaaaaaaaa3_000000_000010": 1}
    ucf_labels(tmp_path / "u", ["HandStand", "Handstand"], {1: (["HandStand/a.avi"], ["HandStand/b.avi"])})
    with pytest.raises(DataError, match=r"classInd\.txt: 'HandStand' is there twice, in two spellings"):
        listed("ucf101", tmp_path / "u")
    hmdb_labels(tmp_path / "h", {"brush hair": {"a.avi": (1, 1, 1)}, "brush_hair": {"b.avi": (2, 2, 2)}})
    with pytest.raises(DataError, match="a class has two files of split 1"):
        listed("hmdb51", tmp_path / "h")


def test_frame_lists_of_four_columns_rank_their_class_names(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("0,Zoo,v_1,30\n1,Ant,v_2,31\n")
    (tmp_path / "val.csv").write_text("0,Ant,v_3,32\n")
    listing = listed("ucf101", tmp_path)
    assert [(c.id, c.label, c.frames) for c in listing.splits["train"]] == [("v_1", 1, 30), ("v_2", 0, 31)]
    assert listing.classes == ("Ant", "Zoo")


def test_frame_lists_are_chosen_by_the_number_of_the_split(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"ucf101_rgb_train_split_{number}.txt").write_text(f"v_t{number} 9 0\n")
        (tmp_path / f"ucf101_rgb_val_split_{number}.txt").write_text(f"v_v{number} 9 1\n")
    assert labels_of(listed("ucf101", tmp_path), "train") == {"v_t1": 0}
    assert labels_of(listed("ucf101-2", tmp_path), "val") == {"v_v2": 1}
    with pytest.raises(DataError, match="no label files of UCF101, split 3"):
        find_listing("ucf101-3", Root("ucf101", tmp_path, tmp_path, "test"))


def test_equal_names_in_two_folders_are_two_clips(tmp_path: Path) -> None:
    (tmp_path / "train_list.txt").write_text("a/001 9 0\nb/001 9 1\n")
    (tmp_path / "val_list.txt").write_text("c/001 9 1\n")
    touch(tmp_path, "frames/a/001/00001.jpg", "frames/b/001/00001.jpg")
    listing = listed("something-v2", tmp_path)
    assert where(tmp_path, listing, "train") == {"a__001": "frames/a/001", "b__001": "frames/b/001"}
    assert where(tmp_path, listing, "val") == {"c__001": None}  # and not another folder's 001


def test_labels_of_another_data_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("x 9 174\n")
    (tmp_path / "val.txt").write_text("y 9 1\n")
    with pytest.raises(DataError, match=r"174 classes, labels 0 to 173; train.txt, val.txt have 175 classes"):
        listed("something-v1", tmp_path)


def test_a_folder_without_label_files_says_which_are_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no label files of UCF101, split 1 in .*classInd.txt with trainlist0N.txt"):
        listed("ucf101", tmp_path)


def test_of_several_places_the_fitting_one_is_taken(tmp_path: Path) -> None:
    kinetics_csv(
        tmp_path / "k.csv",
        [("a", "aaaaaaaaaa1", 0, "train"), ("a", "aaaaaaaaaa2", 0, "train"), ("b", "aaaaaaaaaa3", 0, "val")],
    )
    one, two, three = (f"aaaaaaaaaa{i}_000000_000010.mp4" for i in (1, 2, 3))
    touch(tmp_path, f"old/a/{one}", f"train/a/{one}", f"train/a/{two}", f"train/b/{two}", f"val/a/{three}")
    listing = listed("kinetics400", tmp_path)
    located, _ = locate_clips(tmp_path, listing)
    assert [(one.paths, one.folder, one.disagreement) for one in located["train"]] == [
        ((f"train/a/{one}", f"old/a/{one}"), "train", ""),
        ((f"train/a/{two}", f"train/b/{two}"), "train", ""),
    ]
    says = "aaaaaaaaaa3_000000_000010: in the folder of 'a', listed as 'b', which is used"
    assert located["val"][0].disagreement == says


def test_a_picture_beside_videos_hides_none_of_them(tmp_path: Path) -> None:
    clips = [f"Class001/v_Class001_g01_c{i:02d}.avi" for i in range(1, 7)]
    ucf_labels(tmp_path / "ucfTrainTestlist", UCF, {1: (clips[1:], clips[:1])})
    touch(tmp_path, "Class001/0_preview.jpg", "Class001/cover.png", *clips, "Class001/zz.jpeg")
    found = where(tmp_path, listed("ucf101", tmp_path), "train")
    assert found == {Path(clip).stem: clip for clip in clips[1:]}


def test_links_are_followed_once_and_cycles_end(tmp_path: Path) -> None:
    something_v1_labels(tmp_path / "labels", {"1": "A"}, {"2": "A"}, ["A"])
    touch(tmp_path, "elsewhere/1/00001.jpg", "elsewhere/2.webm")
    root = tmp_path / "root"
    root.mkdir()
    (root / "frames").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    listing = listed("something-v1", root, tmp_path / "labels")
    located, unlisted = locate_clips(root, listing)
    assert [one.paths for split in located.values() for one in split] == [("again/1",), ("again/2.webm",)]
    assert unlisted == ()


def test_official_lists_beside_the_clips_are_found(tmp_path: Path) -> None:
    """As UCF101 is distributed: UCF-101/ and ucfTrainTestlist/ in one folder."""
    clips = ["Class001/v_Class001_g01_c01.avi", "Class001/v_Class001_g02_c01.avi"]
    ucf_labels(tmp_path / "ucfTrainTestlist", UCF, {1: (clips[1:], clips[:1])})
    touch(tmp_path / "UCF-101", *clips)
    assert listed("ucf101", tmp_path / "UCF-101").files[0].parent == tmp_path / "ucfTrainTestlist"
    with pytest.raises(DataError, match=r"no label files of UCF101.*BENCHMARK_UCF101_LABELS"):
        listed("ucf101", tmp_path / "UCF-101", tmp_path / "UCF-101/Class001")


def test_lists_for_detection_are_not_taken_for_those_of_recognition(tmp_path: Path) -> None:
    clips = ["Class001/v_Class001_g01_c01.avi", "Class001/v_Class001_g02_c01.avi"]
    ucf_labels(tmp_path / "ucfTrainTestlist", UCF, {1: (clips[1:], clips[:1])})
    detection = tmp_path / "zz_detection"
    detection.mkdir()
    for name in ("trainlist01.txt", "testlist01.txt"):
        (detection / name).write_text("Class002/v_Class002_g01_c01\n")
    listing = listed("ucf101", tmp_path)
    assert [clip.id for clip in listing.splits["train"]] == ["v_Class001_g02_c01"]
    ucf_labels(tmp_path / "older", UCF, {1: (clips[1:], clips[:1])})
    with pytest.raises(DataError, match=r"older and .*ucfTrainTestlist have UCF101's label files each"):
        listed("ucf101", tmp_path)


def test_labels_under_both_releases_names_are_read_once(tmp_path: Path) -> None:
    labels = {f"Doing {i:03d}": str(i) for i in range(174)}
    for prefix in ("", "something-something-v2-"):
        something_v2_labels(tmp_path, {"1": "Doing 000"}, {"2": "Doing 001"}, labels, prefix)
    assert labels_of(listed("something-v2", tmp_path), "val") == {"2": 1}
    something_v2_labels(tmp_path / "labels", {"1": "Doing 000"}, {"2": "Doing 001"}, labels)
    with pytest.raises(DataError, match="have the files of labels, train, validation each"):
        listed("something-v2", tmp_path)


def test_a_parent_that_cannot_be_listed_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission unlisted", str(path))

    (tmp_path / "UCF-101").mkdir()
    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(DataError, match="no label files of UCF101"):
        listed("ucf101", tmp_path / "UCF-101")
