"""Audio: scaling, conversion, every kind of broken file, atomic writing."""

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nslib import audio
from nslib.errors import BadAudio, Unavailable

RNG = np.random.default_rng(7)


def sine(rate, seconds=1.0, frequency=440.0, level=0.5):
    return level * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def refuse(path, word):
    with pytest.raises(BadAudio, match=word) as error:
        audio.read(path)
    assert error.value.path == str(path) and error.value.remedy.endswith(".")


def loudest_hertz(clip):
    return int(np.abs(np.fft.rfft(clip.wave[:16000])).argmax())


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_sixteen_bits_are_divided_by_32767(tmp_path, name):
    pcm = np.array([0, 1, -1, 12345, 32767, -32767, -32768], np.int16)
    soundfile.write(tmp_path / name, pcm, 16000, subtype="PCM_16")
    wave = audio.read(tmp_path / name).wave
    assert wave.dtype == np.float32 and np.array_equal(wave, pcm.astype(np.float32) / np.float32(32767))


@pytest.mark.parametrize(("subtype", "step"), [("PCM_U8", 2**-7), ("PCM_24", 2**-23), ("DOUBLE", 2**-24)])
def test_other_widths_use_full_scale(tmp_path, subtype, step):
    soundfile.write(tmp_path / "a.wav", sine(16000), 16000, subtype=subtype)
    assert np.abs(audio.read(tmp_path / "a.wav").wave - sine(16000)).max() <= step + 2**-24


@pytest.mark.parametrize(("kind", "samples", "expected"), [
    ("int16", [32767, -32768], [1, -32768 / 32767]), ("uint8", [0, 128, 192], [-1, 0, 0.5]),
    ("int32", [2**30, -(2**31)], [0.5, -1]), ("float64", [0.25, -1.5], [0.25, -1.5])])
def test_arrays_are_scaled_by_their_type(kind, samples, expected):
    assert np.allclose(audio.from_array(np.array(samples, kind)).wave, expected, atol=1e-7)


@settings(max_examples=20)
@given(arrays(np.float32, st.integers(1, 200), elements=st.floats(-1, 1, width=32)))
def test_what_is_written_is_read(tmp_path_factory, wave):
    path = audio.write_wav(tmp_path_factory.getbasetemp() / "written.wav", wave)
    first = audio.read(path).wave
    assert np.array_equal(first, np.rint(wave.astype(np.float64) * 32767).astype(np.float32) / np.float32(32767))
    assert np.array_equal(audio.read(audio.write_wav(path, first)).wave, first)


@pytest.mark.parametrize("rate", [8000, 44100])
def test_resampling_keeps_length_frequency_and_level(rate):
    clip = audio.from_array(sine(rate, 2, 1000), rate)
    assert (clip.notes, clip.source_rate, len(clip.wave)) == ((f"resampled {rate} -> 16000 Hz",), rate, 32000)
    assert np.abs(clip.wave[8000:24000] - sine(16000, 2, 1000)[8000:24000]).max() < 1e-3
    # what cannot be represented at 16 kHz is gone
    assert np.abs(audio.from_array(sine(48000, 1, 12000), 48000).wave[1000:-1000]).max() < 1e-4


def test_channels_are_averaged_and_loud_and_silent_clips_kept_and_noted():
    both = np.stack([sine(16000), sine(16000, frequency=600)], 1)
    clip, loud = audio.from_array(both), audio.from_array(sine(16000, level=3.0))
    assert (clip.channels, clip.notes) == (2, ("stereo mixed to mono",)) and np.allclose(clip.wave, both.mean(1))
    assert loud.wave.max() == pytest.approx(3, rel=1e-3) and "above full scale" in loud.notes[0]
    assert "silence" in audio.from_array(np.zeros(100)).notes[0]


def encode(path, form, codec, rate, wave, **options):
    kind = {"aac": "fltp", "libmp3lame": "s16p"}.get(codec, "s16")
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        values = wave.astype(np.float32) if kind == "fltp" else np.rint(wave * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values[None], format=kind, layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def test_lossy_files_and_raw_g722_are_read_and_a_cut_m4a_refused(tmp_path):
    m4a = encode(tmp_path / "a.m4a", "mp4", "aac", 44100, sine(44100, 2))
    soundfile.write(tmp_path / "a.ogg", sine(44100, 2), 44100, format="OGG", subtype="VORBIS")
    soundfile.write(tmp_path / "a.mp3", sine(44100, 2), 44100, format="MP3", subtype="MPEG_LAYER_III")
    for name in ("a.ogg", "a.mp3", "a.m4a"):
        clip = audio.read(tmp_path / name)
        assert abs(clip.seconds - 2) < 0.1 and abs(clip.wave[4000:28000].std() - 0.5 / np.sqrt(2)) < 0.02
    m4a.write_bytes(m4a.read_bytes()[:-2000])  # the index lies at the end
    refuse(m4a, "no decoder|cut short")
    clip = audio.read(encode(tmp_path / "a.g722", "g722", "g722", 16000, sine(16000)))
    assert (clip.source_rate, clip.channels, loudest_hertz(clip)) == (16000, 1, 440)


def test_raw_gsm_is_read_and_held_to_whole_frames(tmp_path):
    soundfile.write(tmp_path / "a.raw", sine(8000), 8000, format="RAW", subtype="GSM610")
    gsm = (tmp_path / "a.raw").rename(tmp_path / "a.gsm")
    clip = audio.read(gsm)
    assert clip.source_rate == 8000 and abs(clip.seconds - 1) < 0.03 and loudest_hertz(clip) == 440
    gsm.write_bytes(gsm.read_bytes()[:-5])
    refuse(gsm, "cut short")
    gsm.write_bytes(b"RIFF" * 40)
    refuse(gsm, "not raw GSM")


def test_a_wav_that_cannot_be_sought_in_and_an_mp3_whose_length_is_nowhere_written_are_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(8000, 1.3, 300), 8000, subtype="GSM610")
    clip = audio.read(tmp_path / "a.wav")
    # the codec has frames of 320 samples, and the writer here adds an empty one
    assert 0 <= len(clip.wave) - 20800 <= 2 * 640 and abs(loudest_hertz(clip) - 300) <= 1
    path = encode(tmp_path / "a.mp3", "mp3", "libmp3lame", 11025, sine(11025, 1.3), write_xing="0", id3v2_version="0")
    assert audio.read(path).seconds == pytest.approx(1.3, abs=0.2)


def test_what_is_missing_empty_or_not_audio_is_refused(tmp_path):
    soundfile.write(tmp_path / "z.wav", np.zeros(0), 16000)
    (tmp_path / "e.wav").touch()
    (tmp_path / "a.m4a").write_bytes(bytes(range(256)) * 40)
    for name, word in (("no.wav", "no such file"), ("", "not a file"), ("e.wav", "0 bytes"), ("z.wav", "0 samples"),
                       ("a.m4a", "decode|no sound")):
        refuse(tmp_path / name, word)


def test_a_cut_wav_is_refused_and_one_written_to_a_pipe_has_no_length_and_is_read_whole(tmp_path):
    wav = audio.write_wav(tmp_path / "a.wav", sine(16000))
    whole = wav.read_bytes()
    for end in (36, 44, 44 + 31680):
        wav.write_bytes(whole[:end])
        refuse(wav, "cut short")
    wav.write_bytes(whole[:4] + b"\xff" * 4 + whole[8:40] + b"\xff" * 4 + whole[44:])
    assert audio.read(wav).seconds == 1.0


@pytest.mark.parametrize(("name", "options"), [("a.flac", {}), ("a.ogg", {}), ("b.ogg", {"subtype": "OPUS"})])
def test_cut_flac_and_ogg_are_refused_and_an_ogg_without_its_end_mark_is_noted(tmp_path, name, options):
    path = tmp_path / name
    soundfile.write(path, RNG.normal(size=80_000) / 10, 16000, **options)
    assert audio.read(path).seconds == pytest.approx(5, abs=0.05)
    data = path.read_bytes()
    path.write_bytes(data[:int(0.97 * len(data))])
    refuse(path, "cut short|cannot be decoded")
    if name == "a.ogg":
        path.write_bytes(data[:data.rindex(b"OggS")])
        clip = audio.read(path)
        assert clip.seconds < 5 and "end mark" in clip.notes[0]


def test_too_long_is_known_from_the_header_or_while_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MAX_SECONDS", 0.5)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *a, **k: pytest.fail("decoded"))
    refuse(audio.write_wav(tmp_path / "a.wav", sine(16000)), "longer than")
    refuse(encode(tmp_path / "a.g722", "g722", "g722", 16000, sine(16000, 3)), "longer than")


@pytest.mark.parametrize(("samples", "rate", "word"), [
    (np.zeros(0), 16000, "0 samples"), (np.zeros((2, 16000)), 16000, "transpose"), (3.0, 16000, "shape"),
    (np.array(["a"]), 16000, "not audio"), (np.array([0, np.inf]), 16000, "infinite, the first at 1"),
    (np.ones(1), 384_000, "nothing at 16 kHz"), (np.ones(9), 3999, "sample rate of 3999 Hz is outside")])
def test_bad_arrays(samples, rate, word):
    with pytest.raises(BadAudio, match=word):
        audio.from_array(samples, rate, "mine")


def test_the_hash_is_of_the_samples():
    wave = np.array([0.5, -1.0], np.float32)
    for same in (wave, wave.astype(">f4")):
        assert audio.sha256(same) == "031a5e93e726630d2e7087e4356829de6907683f3a2aba769e5155e7a068d167"


def test_waves_that_do_not_fit_and_a_folder_that_is_not_there_leave_nothing(tmp_path):
    for wave in ([[0.1]], [np.nan], [1.5]):
        with pytest.raises(BadAudio):
            audio.write_wav(tmp_path / "a.wav", wave)
    with pytest.raises(Unavailable, match=r"No such file.*Free 0\.0 MB there, or choose"):
        audio.write_wav(tmp_path / "no" / "a.wav", sine(16000))
    assert not list(tmp_path.iterdir())
