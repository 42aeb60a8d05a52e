"""Folders of numbered images as videos: order, gaps, damage, and pixels of two independent decoders."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.decode.frame_folder import list_frames
from benchmark.data.decode.video import VideoInfo, probe, read_frames
from benchmark.data.errors import DecodeError

HEIGHT, WIDTH = 60, 82


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    planes = [127 + 90 * np.sin((x + 3 * index) / 8), 127 + 90 * np.cos((y - index) / 11), x * 0 + 20 * (index % 12)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def fill(folder: Path, names: list[str], **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(picture(index)).save(folder / name, **options)
    return folder


def by_pillow(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


NAMES = {
    "Something-Something": [f"{i:05d}.jpg" for i in range(1, 13)],
    "TSN": [f"img_{i:05d}.jpg" for i in range(1, 13)],
    "frame": [f"frame{i:06d}.jpg" for i in range(12)],
    "no padding": [f"{i}.jpg" for i in range(1, 13)],
    "digits in the prefix": [f"v_Bowling_g08_c01_{i:04d}.jpeg" for i in range(1, 13)],
    "capitals": [f"IMG_{i:05d}.JPG" for i in range(1, 13)],
    "png": [f"{i:05d}.png" for i in range(1, 13)],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_frames_come_in_the_order_of_their_numbers(names: list[str], tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip with späces", names)
    assert list_frames(folder) == names
    assert probe(folder) == VideoInfo(12, HEIGHT, WIDTH, 0.0, 0.0)
    every = np.stack([by_pillow(folder / name) for name in names])
    assert np.array_equal(read_frames(folder, [11, 0, 2, 2]), every[[11, 0, 2, 2]])


def test_flow_and_what_is_no_frame_is_passed_over(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", [f"img_{i:05d}.jpg" for i in range(1, 4)])
    (folder / "thumbnails").mkdir()
    for other in ("flow_x_00001.jpg", "x_00001.jpg", ".00001.jpg", "._00001.jpg", "Thumbs.db", "a.txt"):
        (folder / other).write_bytes(b"")
        assert probe(folder).frames == 3, other
        (folder / other).unlink()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["00001.jpg", "00002.jpg", "00004.jpg"], "frame 3 is missing"),
        (["00000.jpg", "00002.jpg"], "frame 1 is missing"),
        (["00001.jpg", "1.jpg"], "frame 1 is there twice"),
        (["00001.jpg", "00001.png"], "frame 1 is there twice"),
        (["a_00001.jpg", "b_00001.jpg"], r"several series of frames: a_\*, b_\*"),
        (["picture.jpg"], "no numbered .jpg, .png or .webp files"),
        (["00001.bmp"], "files such as 00001.bmp, which are not read"),
        (["flow_x_00001.jpg", "flow_x_00002.jpg"], r"flow_x_\* are optical flow by their name"),
        (["x_00001.jpg", "x_00002.jpg"], r"x_\* are optical flow by their name"),
        ([], "no numbered .jpg, .png or .webp files"),
    ],
)
def test_a_series_with_a_fault_is_refused(names: list[str], said: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", names)
    for act in (probe, lambda path: read_frames(path, [0])):
        with pytest.raises(DecodeError, match=rf"clip: .*{said}"):
            act(folder)


def test_numbers_that_begin_later_are_refused_unless_they_may(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", [f"frame_{i:010d}.jpg" for i in range(98, 102)])
    (tmp_path / "below").mkdir()
    fill(tmp_path / "below/img", [f"frame_{i:010d}.jpg" for i in range(98, 102)])
    for refused in (folder, tmp_path / "below"):
        with pytest.raises(
            DecodeError, match=r"frame 1 is missing: the numbers begin with 98 \(frame_0000000098\.jpg\)"
        ):
            probe(refused)
        assert probe(refused, any_first=True) == VideoInfo(4, HEIGHT, WIDTH, 0.0, 0.0)
        shown = read_frames(refused, [3, 0])
        assert np.array_equal(shown[0], by_pillow(folder / "frame_0000000101.jpg"))
    (folder / "frame_0000000099.jpg").unlink()
    with pytest.raises(DecodeError, match="frame 99 is missing"):
        probe(folder, any_first=True)


def test_frames_in_a_subfolder_and_archives_are_named(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/frames.zip").write_bytes(b"PK")
    with pytest.raises(DecodeError, match=r"an archive, frames\.zip: unpack it"):
        probe(tmp_path / "clip")
    folder = fill(tmp_path / "clip/img", ["00001.jpg", "00002.jpg"])
    fill(tmp_path / "clip/flow_x", ["00001.jpg"])
    assert probe(tmp_path / "clip").frames == 2
    assert np.array_equal(read_frames(tmp_path / "clip", [1, 0]), read_frames(folder, [1, 0]))
    fill(tmp_path / "clip/img2", ["00001.jpg"])
    with pytest.raises(DecodeError, match=r"in its subfolders flow_x, img, img2: move those that are meant up"):
        probe(tmp_path / "clip")


def test_frames_beyond_the_end(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["00001.jpg", "00002.jpg"])
    with pytest.raises(DecodeError, match=r"frame 2 asked for .* the folder has 2 frames"):
        read_frames(folder, [0, 2])
    with pytest.raises(ValueError, match="non-negative"):
        read_frames(folder, [-1])


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_an_image_cut_short_is_named_and_not_filled_with_grey(ending: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", [f"{i:05d}.{ending}" for i in range(1, 4)])
    path = folder / f"00002.{ending}"
    data = path.read_bytes()
    # A PNG's last bytes are of the end marker, which holds no pixel.
    for left in (0, 10, len(data) // 2, len(data) - (2 if ending == "jpg" else 30)):
        path.write_bytes(data[:left])
        assert read_frames(folder, [0, 2]).shape == (2, HEIGHT, WIDTH, 3)
        for size in ((None, None), (HEIGHT // 2, WIDTH // 2)):
            with pytest.raises(DecodeError, match=rf"00002\.{ending}: this frame cannot be decoded"):
                read_frames(folder, [0, 1], *size)


def test_images_of_another_kind_under_the_ending(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["00001.jpg", "00002.jpg", "00003.jpg", "00004.jpg"])
    Image.fromarray(picture(1)).save(folder / "00002.jpg", format="PNG")
    Image.fromarray(picture(2)).convert("L").save(folder / "00003.jpg")
    Image.fromarray(picture(3)).save(folder / "00004.jpg", progressive=True)
    frames = read_frames(folder, range(4))
    assert np.array_equal(frames[1], picture(1))
    assert np.array_equal(frames[2][..., 0], frames[2][..., 1])
    assert np.array_equal(frames[3], by_pillow(folder / "00004.jpg"))
    (folder / "00003.jpg").write_text("not an image")
    with pytest.raises(DecodeError, match=r"00003\.jpg"):
        read_frames(folder, range(4))


def test_trailing_bytes_do_no_harm(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["00001.jpg"])
    path = folder / "00001.jpg"
    expected = by_pillow(path)
    path.write_bytes(path.read_bytes() + bytes(1000) + b"\xff\xda padding of a camera")
    assert np.array_equal(read_frames(folder, [0])[0], expected)


def test_orientation_in_exif_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    turned = fill(tmp_path / "turned", ["00001.jpg"], exif=exif)
    plain = fill(tmp_path / "plain", ["00001.jpg"])
    assert probe(turned) == probe(plain)
    assert np.array_equal(read_frames(turned, [0]), read_frames(plain, [0]))
    assert np.array_equal(read_frames(turned, [0], 20, 27), read_frames(plain, [0], 20, 27))


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_frames_of_different_sizes_are_refused(ending: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", [f"0000{i}.{ending}" for i in (1, 2, 3)])
    Image.fromarray(picture(1, 40, 50)).save(folder / f"00002.{ending}")
    for size in ((), (16, 16), (30, 41), (120, 164)):
        with pytest.raises(DecodeError, match=rf"00002\.{ending}: 50x40 pixels, other frames of the folder 82x60"):
            read_frames(folder, [0, 1], *size)
        assert len(read_frames(folder, [0, 2], *size)) == 2


def test_grey_images_of_16_bits_keep_their_values(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    (tmp_path / "clip").mkdir()
    Image.fromarray(values).save(tmp_path / "clip/00001.png")
    found = read_frames(tmp_path / "clip", [0])[0]
    assert np.array_equal(found, np.repeat((values // 256).astype(np.uint8)[..., None], 3, axis=2))


def test_a_pipe_among_the_frames_is_damage_and_no_wait(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["00001.jpg"])
    os.mkfifo(folder / "00002.jpg")
    with pytest.raises(DecodeError, match=r"00002\.jpg: .*not a file"):
        read_frames(folder, [1])


def test_scaling_while_decoding_is_near_scaling_afterwards(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["00001.jpg"], quality=95)
    whole = Image.fromarray(by_pillow(folder / "00001.jpg"))
    for height, width in ((60, 82), (45, 62), (30, 41), (22, 30), (7, 10), (120, 164), (30, 82)):
        found = read_frames(folder, [0], height, width)
        assert found.shape == (1, height, width, 3)
        scaled = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
        differences = np.abs(found[0].astype(int) - scaled)
        if 2 * height > HEIGHT:
            assert differences.max() == 0
        assert differences.mean() < 4


def test_listing_is_cheap_and_closes_the_folder(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for number in range(1, 1001):
        (tmp_path / "clip" / f"{number:05d}.jpg").touch()
    opened = len(list(Path("/proc/self/fd").iterdir()))
    start = time.process_time()
    for _ in range(10):
        assert len(list_frames(tmp_path / "clip")) == 1000
    assert (time.process_time() - start) / 10 < 0.02  # 1 to 2 ms; a stat of every file alone takes as much again
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
