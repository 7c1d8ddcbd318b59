"""Sound in containers that libsndfile does not know, and playlists that would lead elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from locution.speech import decode_av
from locution.speech.audio import AudioError, audio_blocks, read_audio
from locution.speech.transcribe import sound_files

av = pytest.importorskip("av")


def write(path: Path, codec: str, rate: int = 48000, seconds: float = 1.0, channels: int = 2) -> Path:
    """Encode a tone of 440 Hz; the second channel is silent."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    both = np.stack([wave, 0 * wave][:channels]).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo" if channels == 2 else "mono")
        stream.bit_rate = 96_000
        size = stream.codec_context.frame_size or 1024
        for start in range(0, both.shape[1], size):
            part = np.ascontiguousarray(both[:, start : start + size])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=stream.layout.name)
            frame.rate, frame.pts = rate, start
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.mp4", "aac"),
        ("a.webm", "libopus"),
        ("a.mka", "libopus"),
        ("a.wma", "wmav2"),
        ("b.m4a", "alac"),
    ],
)
def test_other_containers_sound_the_same(tmp_path: Path, name: str, codec: str) -> None:
    audio = read_audio(write(tmp_path / name, codec))
    assert abs(audio.seconds - 1) < 0.1
    power = np.abs(np.fft.rfft(audio.samples[1000:15000]))
    assert power.argmax() * 16000 / 14000 == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(audio.samples[2000:14000] ** 2)) == pytest.approx(0.15 / np.sqrt(2), rel=0.1)  # averaged
    assert sound_files([tmp_path]) == [tmp_path / name]


def test_a_film_without_sound_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="holds no sound track"):
        read_audio(tmp_path / "a.mp4")


@pytest.mark.parametrize("kind", ["hls", "concat", "sdp", "hls inside"])
def test_a_playlist_leads_nowhere(tmp_path: Path, kind: str) -> None:
    secret = write(tmp_path / "secret.aac", "aac", 16000)
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "hls inside": f"#EXTM3U\n#EXTINF:10,\nfile://{secret}\n",
    }
    path = tmp_path / "list.m4a"
    path.write_text(texts[kind])
    with pytest.raises(AudioError, match="no sound file") as caught:
        read_audio(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dropped", "leads"),
    [((), False), (("format_whitelist",), False), (("protocol_whitelist",), False), (tuple(decode_av.OPTIONS), True)],
)
def test_each_of_two_locks_holds_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropped: tuple[str, ...], leads: bool
) -> None:
    """A list of files that FFmpeg is told to trust: without both locks it would be read."""
    secret = write(tmp_path / "secret.aac", "aac", 16000)
    (tmp_path / "list.m4a").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    for name in ("format_whitelist", "protocol_whitelist"):
        assert name in decode_av.OPTIONS
    kept = {name: value for name, value in decode_av.OPTIONS.items() if name not in dropped}
    monkeypatch.setattr(decode_av, "OPTIONS", kept | {"safe": "0"})
    if leads:
        assert list(decode_av.av_blocks(tmp_path / "list.m4a"))
    else:
        with pytest.raises(ValueError, match=r"^(Invalid|Operation)"):
            list(decode_av.av_blocks(tmp_path / "list.m4a"))


def test_sound_whose_rate_changes_on_the_way_is_heard_until_then() -> None:
    def frame(rate: int) -> Any:
        made = av.AudioFrame.from_ndarray(np.full((1, 100), 0.5, np.float32), format="fltp", layout="mono")
        made.rate = rate
        return made

    packets = [SimpleNamespace(decode=lambda rate=rate: [frame(rate)]) for rate in (16000, 16000, 8000)]
    container = SimpleNamespace(streams=SimpleNamespace(audio=[SimpleNamespace()]), demux=lambda _: packets)
    heard: list[int] = []
    with pytest.raises(ValueError, match="change on the way"):
        heard.extend(len(block) for _, block in decode_av._decoded(av, container))
    assert heard == [100, 100]


def test_a_small_file_of_hours_stops_at_the_cap(tmp_path: Path) -> None:
    path = write(tmp_path / "long.m4a", "aac", 16000, seconds=60, channels=1)
    heard: list[np.ndarray] = []
    with pytest.raises(AudioError, match="longer than 5 s"):
        heard.extend(audio_blocks(path, cap_seconds=5))
    assert 4 * 16000 < sum(map(len, heard)) <= 5 * 16000


def test_a_cut_file_gives_what_is_there_or_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm", "libopus", seconds=3)
    path.write_bytes(path.read_bytes()[:-6000])
    assert 0.5 < read_audio(path).seconds < 3
    path = write(tmp_path / "a.m4a", "aac")
    path.write_bytes(path.read_bytes()[:3000])  # what says where the sound lies stands at the end
    with pytest.raises(AudioError, match="no sound file") as caught:
        read_audio(path)
    assert "\n" not in str(caught.value)


def test_without_pyav_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.m4a", "aac")
    monkeypatch.setattr(decode_av, "available", lambda: False)
    with pytest.raises(AudioError, match="pip install av"):
        read_audio(path)
    assert sound_files([tmp_path]) == [path]
