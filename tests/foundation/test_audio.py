"""Audio: scaling, conversion, every kind of broken file, atomic writing."""

import os
import struct
from fractions import Fraction

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


@pytest.mark.parametrize(("subtype", "step"), [
    ("PCM_U8", 2**-7), ("PCM_24", 2**-23), ("PCM_32", 2**-31), ("DOUBLE", 2**-24), ("ULAW", 2**-5), ("ALAW", 2**-5)])
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


@pytest.mark.parametrize(("channels", "rate", "form"), [(1, 8000, "WAV"), (2, 44_100, "RF64"), (40, 16_000, "W64")])
def test_plain_samples_are_those_that_libsndfile_reads_whatever_lies_around_them(channels, rate, form, tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, (777, channels)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, rate, "PCM_16", format=form)
    whole, other = (tmp_path / "a.wav").read_bytes(), b"LIST\5\0\0\0abcde\0"
    for content in (whole, whole + other, whole[:12] + other + whole[12:])[: 3 if form == "WAV" else 1]:
        (tmp_path / "a.wav").write_bytes(content)
        decoded = audio.decode(tmp_path / "a.wav")
        np.testing.assert_array_equal(decoded.samples, samples, strict=True)
        assert (decoded.rate, decoded.notes) == (rate, ())


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


@pytest.mark.parametrize(("gains", "said"), [
    ((1, 0), "silent channels: 1 of 2"), ((0, 1, 0), "silent channels: 2 of 3"), ((1, 1e-4), "silent channels: 1 of 2"),
    ((1, -1), "channels of opposite phase"), ((1, -0.9), "channels of opposite phase"), ((1, 0.1), ""), ((1, -0.5), ""),
    ((0, 0), "digital silence")])
def test_channels_of_which_mixing_leaves_less_are_noted(gains, said):
    both = sine(2**21, frequency=7990)[:, None] * gains + 0.1 * np.sign(gains)  # a constant is no sound
    _, *more = audio.from_array(both).notes
    assert any(note.startswith(said) for note in more) == bool(said) == bool(more)


def encode(path, form, codec, rate, wave, **options):
    kind = {"aac": "fltp", "libmp3lame": "s16p", "wavpack": "s16p"}.get(codec, "s16")
    with av.open(path if hasattr(path, "write") else str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        values = wave.astype(np.float32) if kind == "fltp" else np.rint(wave * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values[None], format=kind, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)  # from which the delay is told
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def test_raw_g722_is_read_and_a_cut_m4a_refused(tmp_path):
    m4a = encode(tmp_path / "a.m4a", "mp4", "aac", 44100, sine(44100, 2))
    m4a.write_bytes(m4a.read_bytes()[:-2000])  # the index lies at the end
    refuse(m4a, "no decoder|cut short")
    clip = audio.read(encode(tmp_path / "a.g722", "g722", "g722", 16000, sine(16000)))
    assert (clip.source_rate, clip.channels, loudest_hertz(clip)) == (16000, 1, 440) and "unknown" in clip.notes[0]


@pytest.mark.parametrize(("name", "rate"), [(f"a.{e}", rate) for e in ("mp3", "m4a", "ogg") for rate in (16000, 44100)])
def test_a_lossy_file_begins_where_its_sound_did_and_what_overshoots_keeps_its_sign(name, rate, tmp_path):
    sound = 0.999 * np.sign(sine(rate, 2, 110) + sine(rate, 2, 83)) * (np.arange(2 * rate) > 0.3 * rate)
    encode(tmp_path / name, "mp4", "aac", rate, sound) if "m4a" in name else soundfile.write(
        tmp_path / name, sound, rate)
    clip, truth = audio.read(tmp_path / name), audio.from_array(sound, rate).wave
    alike = np.fft.irfft(np.fft.rfft(clip.wave[:32000], 65536) * np.fft.rfft(truth, 65536).conj())
    assert (alike.argmax() + 2) % 65536 <= 4 and abs(clip.seconds - 2) < 0.1 and "above full scale" in clip.notes[-1]
    assert np.mean(np.sign(clip.wave[:32000]) == np.sign(truth), where=np.abs(truth) > 0.5) > 0.98


def test_raw_gsm_is_read_and_held_to_whole_frames(tmp_path):
    soundfile.write(tmp_path / "a.raw", sine(8000), 8000, format="RAW", subtype="GSM610")
    gsm = (tmp_path / "a.raw").rename(tmp_path / "a.gsm")
    clip = audio.read(gsm)
    assert clip.source_rate == 8000 and abs(clip.seconds - 1) < 0.03 and loudest_hertz(clip) == 440
    gsm.write_bytes(gsm.read_bytes()[:-5])
    refuse(gsm, "cut short")
    gsm.write_bytes(b"RIFF" * 40)
    refuse(gsm, "not raw GSM")


def test_a_codec_of_blocks_gives_the_samples_that_were_written_and_no_padding(tmp_path):
    # the last of an odd number of GSM blocks is followed by a byte of padding, which libsndfile takes for a block
    for subtype, samples in (("GSM610", 8000), ("GSM610", 8100), ("G721_32", 8010), ("MS_ADPCM", 8000)):
        soundfile.write(tmp_path / "a.wav", sine(8000, samples / 8000, 300), 8000, subtype=subtype)
        clip = audio.read(tmp_path / "a.wav")
        assert len(clip.wave) == 2 * samples and abs(loudest_hertz(clip) - 300) <= 1, subtype
    mp3 = encode(tmp_path / "b.wav", "wav", "libmp3lame", 16000, sine(16000, 3))
    assert audio.read(mp3).seconds == pytest.approx(3, abs=0.1)


CUT = {"AIFF": "PCM_16", "AU": "PCM_16", "NIST": "PCM_16", "W64": "IMA_ADPCM", "RF64": "PCM_24", "CAF": "ALAC_16",
       "SVX": "PCM_16", "VOC": "PCM_16", "MAT4": "FLOAT", "WAV": "MS_ADPCM", "WAVEX": "FLOAT", "FLAC": "PCM_16",
       "MP3": "MPEG_LAYER_III", "OGG": "OPUS", "avi": "pcm_s16le", "webm": "libopus", "wv": "wavpack"}


@pytest.mark.parametrize(("form", "codec"), CUT.items())
def test_a_file_of_any_kind_that_was_cut_is_refused_and_a_whole_one_has_no_note(form, codec, tmp_path):
    path, noise = tmp_path / "a.audio", RNG.normal(0, 0.1, 48000).clip(-1, 1)
    if form.isupper():
        soundfile.write(path, noise, 16000, format=form, subtype=codec)
    else:
        encode(path, form, codec, 48000 if codec == "libopus" else 16000, np.repeat(noise, 3)[:48000])
    clip, whole = audio.read(path), path.read_bytes()
    assert [note for note in clip.notes if "resampled" not in note] == [] and clip.seconds > 0.9
    for share in (0.5, 0.8) if form == "webm" else (0.5, 0.8, 0.985):  # it tells a time, which is held to 0.1 s
        path.write_bytes(whole[:int(share * len(whole))])
        refuse(path, "cut short|cannot be decoded")


@pytest.mark.parametrize("form", ["PAF", "IRCAM", "mp3", "adts"])
def test_a_kind_that_tells_no_length_is_noted(form, tmp_path):
    if form.isupper():
        soundfile.write(tmp_path / "a", sine(16000), 16000, format=form, subtype="PCM_16")
    else:
        options = {"write_xing": "0", "id3v2_version": "0"} if form == "mp3" else {}
        encode(tmp_path / "a", form, "libmp3lame" if options else "aac", 16000, sine(16000), **options)
    clip = audio.read(tmp_path / "a")
    assert clip.seconds == pytest.approx(1, abs=0.2) and clip.notes[0].startswith("length unknown")


def set_size(data, size, chunk=b"data", outer=0, kind="<I"):
    """A header as a program leaves it that cannot seek back: the length of the sound, and that of the whole."""
    at = data.index(chunk) + len(chunk) if chunk else 8
    first = struct.pack(kind, outer) if chunk in (b"data", b"SSND") and len(struct.pack(kind, 0)) == 4 else data[4:8]
    return data[:4] + first + data[8:at] + struct.pack(kind, size) + data[at + struct.calcsize(kind):]


@pytest.mark.parametrize(("form", "options", "lead"), [
    *(("WAV", (size, b"data", size and min(size + 36, 2**32 - 1)), lead)
      for size in (0x7FFFF000, 0x80000000, 0x7FFFFFDB, 0xFFFFFFFF, 0) for lead in (0, 500)),
    ("WAV", (0, b"data", 36), 0), ("AIFF", (0x7F000000, b"SSND", 0x7F000030, ">I"), 0),
    ("AIFF", (0, b"SSND", 0, ">I"), 0), ("AU", (0xFFFFFFFF, b"", 0, ">I"), 0), ("AU", (0, b"", 0, ">I"), 0),
    ("CAF", (-1, b"data", 0, ">q"), 0)])
def test_a_length_that_no_file_has_is_that_of_a_pipe(form, options, lead, tmp_path):
    pcm = RNG.integers(-9999, 9999, 16000).astype(np.int16)
    pcm[:lead] = 0
    soundfile.write(tmp_path / "a", pcm, 16000, format=form, subtype="PCM_16")
    (tmp_path / "a").write_bytes(set_size((tmp_path / "a").read_bytes(), *options))
    clip = audio.read(tmp_path / "a")
    assert np.array_equal(clip.wave, pcm / np.float32(32767)) and clip.notes[0].startswith("length unknown")


@pytest.mark.parametrize(("first", "last", "rate", "said"), [
    (8000, 16000, 16000, "from 0.50 s to the end"), (0, 8000, 16000, "from 0.00 s to 0.50 s"),
    (5000, 11000, 8000, "from 0.62 s to 1.38 s"), (9000, 16000, 44100, "from 0.20 s to the end"),
    (11000, 16000, 16000, ""), (0, 5000, 16000, "")])
def test_a_third_without_change_is_noted(first, last, rate, said):
    wave = RNG.normal(0, 0.1, 16000)
    wave[first:last] = 0
    for samples in (wave, np.stack([wave, wave], 1)):
        notes = [note for note in audio.from_array(samples, rate).notes if "silence" in note]
        assert notes == [f"digital silence {said}"] * bool(said)


@pytest.mark.parametrize(("form", "codec", "value"), [
    ("WAV", "PCM_U8", -1), ("WAV", "ULAW", -0.98), ("AIFF", "PCM_24", 0), ("CAF", "FLOAT", 0), ("AU", "ALAW", -0.168),
    ("avi", "pcm_s16le", 0), ("tta", "tta", 0)])
def test_what_was_given_its_size_and_never_filled_is_noted(form, codec, value, tmp_path):
    if form.isupper():
        soundfile.write(tmp_path / "a", sine(16000, 4), 16000, format=form, subtype=codec)
    else:
        encode(tmp_path / "a", form, codec, 16000, sine(16000, 4))
    whole = (tmp_path / "a").read_bytes()
    half = len(whole) // 2
    (tmp_path / "a").write_bytes(whole[:half] + bytes(len(whole) - half))
    note = audio.read(tmp_path / "a").notes[-1]
    kind = "digital silence" if value == 0 else f"a single value ({value:.3g})"
    assert note.startswith(f"{kind} from ") and note.endswith(" s to the end")
    assert 1.7 < float(note.split()[-5]) < 2.3


class Pipe(bytearray):
    """What cannot seek."""

    write = bytearray.extend


@pytest.mark.parametrize(("form", "codec", "options"), [
    ("wav", "pcm_s16le", {}), ("wav", "pcm_s16le", {"rf64": "always"}), ("w64", "pcm_s16le", {}),
    ("flac", "flac", {}), ("mp3", "libmp3lame", {}), ("webm", "libopus", {})])
def test_what_ffmpeg_writes_to_a_pipe_is_read_to_its_end(form, codec, options, tmp_path):
    data = encode(Pipe(), form, codec, 48000, sine(48000, 2), **options)
    if form == "flac":  # the number of samples is the last 36 bits of these 5 bytes; what it knows it writes
        data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])
    (tmp_path / "a").write_bytes(data)
    clip = audio.read(tmp_path / "a")
    assert clip.seconds == pytest.approx(2, abs=0.1) and clip.notes[0].startswith("length unknown")


def test_a_sphere_file_without_a_count_and_a_header_that_was_never_corrected(tmp_path):
    soundfile.write(tmp_path / "a.sph", sine(16000), 16000, format="NIST", subtype="PCM_16")
    whole = (tmp_path / "a.sph").read_bytes()
    for count in (b"sample_count -i -1   ", b"sample_county_i 16000"):
        (tmp_path / "a.sph").write_bytes(whole.replace(b"sample_count -i 16000", count))
        clip = audio.read(tmp_path / "a.sph")
        assert clip.seconds == 1 and clip.notes[0].startswith("length unknown")
    wav = audio.write_wav(tmp_path / "a.wav", sine(16000))
    data = wav.read_bytes()
    wav.write_bytes(set_size(data, 16000))
    assert audio.read(wav).notes[0] == ("its header promises 16000 bytes of sound, 32000 are there; the rest was not "
                                        "read")
    wav.write_bytes(data + b"LIST\4\0\0\0INFO")
    assert audio.read(wav).notes == ()
    wav.write_bytes(set_size(data[:44] + b"LIST\4\0\0\0INFO", 0))
    refuse(wav, "0 samples")


OTHER = {
    "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 72862\n": "Git LFS pointer.*git lfs pull",
    "/annex/objects/SHA256E-s3--0.wav\n": "git-annex pointer.*git annex get",
    "<!DOCTYPE html>\n<html>Sign in</html>": "web page", '<?xml version="1.0"?><Error/>': "web page",
    '{"message": "Not Found"}': "text, not the sound", "PK\3\4\0\0": "archive.*Unpack",
    "\x1f\x8b\b\0": "archive", 257 * "\0" + "ustar\0": "archive", "\x89PNG\r\n": "picture", "%PDF-1.7": "PDF",
    "\x93NUMPY\1\0": "array", "\0\5\x16\7\0\2": "macOS", "\1\2\3\4" * 200: "no decoder"}


@pytest.mark.parametrize(("content", "words"), OTHER.items())
def test_what_is_no_sound_is_named_as_what_it_is(content, words, tmp_path):
    for name in ("a.wav", "a.mp3", "a.g722") if "decoder" not in words else ("a.wav",):
        (tmp_path / name).write_bytes(content.encode("latin-1"))
        with pytest.raises(BadAudio, match=f"(?s){words}"):
            audio.read(tmp_path / name)


def test_codes_of_raw_sound_that_look_like_text_are_sound(tmp_path):
    (tmp_path / "a.g722").write_bytes(bytes([0xfa, 0x20, 0x7e, 0xe5]) * 400)
    assert audio.read(tmp_path / "a.g722").seconds == 0.2
    for name, code in (("a.g722", "utf-8"), ("a.wav", "latin-1")):
        (tmp_path / name).write_bytes((400 * "Für Elise ").encode(code))
        refuse(tmp_path / name, "it is text")


def test_names_of_any_kind(tmp_path):
    name = os.fsdecode(b"caf\xe9.flac")
    soundfile.write(os.fsencode(tmp_path / name), sine(16000), 16000, format="FLAC")
    assert audio.read(tmp_path / name).seconds == 1
    encode(tmp_path / "a.m4a", "mp4", "aac", 16000, sine(16000)).rename(tmp_path / name)
    assert audio.read(tmp_path / name).seconds == pytest.approx(1, abs=0.1)


def test_what_is_missing_empty_without_its_samples_or_not_audio_is_refused(tmp_path):
    soundfile.write(tmp_path / "z.wav", np.zeros(0), 16000)
    (tmp_path / "e.wav").touch()
    (tmp_path / "a.m4a").write_bytes(bytes(range(256)) * 40)
    for name, word in (("no.wav", "no such file"), ("", "not a file"), ("e.wav", "0 bytes"), ("z.wav", "0 samples"),
                       ("a.m4a", "decode|no sound"), ("w" * 300, "cannot be read|no such file"),
                       ("a\0.wav", "no such file")):
        refuse(tmp_path / name, word)
    wav = audio.write_wav(tmp_path / "a.wav", sine(16000))
    whole = wav.read_bytes()
    wav.write_bytes(whole[:36] + b"LIST\3\0\0\0odd" + whole[36:])  # without the byte of padding that belongs there
    refuse(wav, "no decoder")
    for end in (4, 36, 44, 44 + 31680):
        wav.write_bytes(whole[:end])
        refuse(wav, "cut short")


def test_an_ogg_without_its_end_mark_is_noted(tmp_path):
    soundfile.write(tmp_path / "a.ogg", RNG.normal(size=80_000) / 10, 16000)
    data = (tmp_path / "a.ogg").read_bytes()
    (tmp_path / "a.ogg").write_bytes(data[:data.rindex(b"OggS")])
    clip = audio.read(tmp_path / "a.ogg")
    assert clip.seconds < 5 and "end mark" in clip.notes[0]


def test_too_long_is_known_from_the_header_or_while_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MAX_SECONDS", 0.5)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *a, **k: pytest.fail("decoded"))
    refuse(audio.write_wav(tmp_path / "a.wav", sine(16000)), "longer than")
    refuse(encode(tmp_path / "a.g722", "g722", "g722", 16000, sine(16000, 3)), "longer than")


@pytest.mark.parametrize(("samples", "rate", "word"), [
    (np.zeros(0), 16000, "0 samples"), (np.zeros((2, 16000)), 16000, "transpose"), (3.0, 16000, "shape"),
    (np.array(["a"]), 16000, "not audio"), (sine(16000) * 32767, 16000, "whose full scale is 1. Divide"),
    ((sine(16000) * 32767).astype(int), 16000, "64 bits that reach 16383 only"),
    (np.array([0, np.inf]), 16000, "infinite, the first at 1"),
    (np.ones(1), 384_000, "nothing at 16 kHz"), (np.ones(9), 3999, "sample rate of 3999 Hz is outside")])
def test_bad_arrays(samples, rate, word):
    with pytest.raises(BadAudio, match=word):
        audio.from_array(samples, rate, "mine")


def test_the_hash_is_of_the_samples():
    wave = np.array([0.5, -1.0], np.float32)
    for same in (wave, wave.astype(">f4")):
        assert audio.sha256(same) == "031a5e93e726630d2e7087e4356829de6907683f3a2aba769e5155e7a068d167"


def test_a_clip_that_is_known_is_read_by_its_hash_alone(tmp_path):
    path = audio.write_wav(tmp_path / "a.wav", np.sin(np.arange(3000) / 9))
    clip = audio.read(path)
    key = audio.sha256(clip.wave)
    assert np.array_equal(audio.read_known(str(path), key, 3000), clip.wave)
    assert audio.read_known(str(path), "0" * 64, 3000) is audio.read_known(str(path), key, 2999) is None
    assert audio.read_known(str(tmp_path / "b.wav"), key, 3000) is audio.read_known(str(tmp_path), key, 3000) is None
    path.write_bytes(path.read_bytes()[:-1] + b"x")  # another last sample
    assert audio.read_known(str(path), key, 3000) is None


def test_waves_that_do_not_fit_and_a_folder_that_is_not_there_leave_nothing(tmp_path):
    for wave in ([[0.1]], [np.nan], [1.5]):
        with pytest.raises(BadAudio):
            audio.write_wav(tmp_path / "a.wav", wave)
    with pytest.raises(Unavailable, match=r"No such file.*Free 0\.0 MB there, or choose"):
        audio.write_wav(tmp_path / "no" / "a.wav", sine(16000))
    assert not list(tmp_path.iterdir())
