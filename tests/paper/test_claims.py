"""The paper's claims: the four verdicts, what is missing, and how often a verdict is wrong."""

from __future__ import annotations

import fabricated
import numpy as np
import pandas as pd
import pytest

from nslib.paper import claims
from nslib.schema import PREDICTIONS, PROTOCOL_ANSWERS, ROWS, conforming
from nslib.statistics import comparisons, effects
from nslib.statistics.intervals import LEVEL

NOSS = ("crema_d", "savee", "voxforge")
MINI = {"trill-mini-layer19": 0.75, "trill-mini-top": 0.60, "trill-mini-untrained-layer19": 0.55,
        "trill-mini-untrained-top": 0.40, "trill-mini-distilled": 0.72, "trill-mini-finetuned": 0.90,
        "logmel": 0.50, "mfcc": 0.50, "opensmile-compare": 0.55}
ALL = {"trill-layer19": 0.80, "trill-top": 0.55, "trill-distilled": 0.78, "untrained": 0.40, "logmel": 0.50,
       "mfcc": 0.50, "opensmile-compare": 0.55}


def measured(scores: dict[str, float], tasks=NOSS, *, clips: int = 300, speakers: int = 10, seed: int = 0,
             kind: str = "real") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and answers of embeddings that are right on the share of clips that `scores` says."""
    rows, answers = [], []
    for t, task in enumerate(tasks):
        hard = np.random.default_rng([seed, t]).permutation(clips) / clips
        for name, score in scores.items():
            key = f"{task}{name}".replace("-", "").replace("_", "")
            rows.append({"key": key, "task": task, "embedding": name, "corpus_kind": kind, "metric": "accuracy",
                         "selected": True, "split": "test", "value": score, "n": clips})
            right = hard < score
            answers.append(pd.DataFrame({
                "key": key, "task": task, "embedding": name, "clip_id": [f"{task}/{i}" for i in range(clips)],
                "speaker": [f"s{i % speakers}" for i in range(clips)], "y_true": "a",
                "y_pred": np.where(right, "a", "b")}))
    return fabricated._filled(pd.DataFrame(rows), ROWS), fabricated._filled(pd.concat(answers), PREDICTIONS)


def overall(parts: pd.DataFrame, sentence: str = "") -> dict[tuple[int, str], str]:
    """Verdicts by claim and subject; of claim 1 that about hand-made features, or the one with this sentence."""
    found = claims.summarise_claims(parts)
    found = found[(found["claim"] != 1) | (found["sentence"] == (sentence or claims.BY_HAND))]
    return dict(zip(zip(found["claim"], found["subject"], strict=True), found["verdict"], strict=True))


def of(parts: pd.DataFrame, claim: int, subject: str) -> pd.DataFrame:
    """Comparisons of a claim, by what the subject was held against."""
    return parts[(parts["claim"] == claim) & (parts["subject"] == subject)].set_index("against")


def test_what_is_true_by_a_wide_margin_holds():
    parts = claims.judge_claims(*measured(ALL))
    found = overall(parts)
    assert found[1, "trill-layer19"] == found[2, "trill-layer19"] == found[3, "trill-distilled"] == "holds"
    assert found[1, "trill-top"] == "undecided"
    first = of(parts, 1, "trill-layer19")
    assert first.loc["logmel", "diff"] == pytest.approx(0.30) and (first["tasks"] == 3).all()
    assert (first["clips"] == 900).all() and (first["by"] == "speaker").all() and (first["speech"] == "recorded").all()
    second = parts[parts["claim"] == 2]
    assert second["task"].tolist() == list(NOSS) and (second["tasks"] == 1).all()


# ------------------------------------------------------------------ what is compared with what

def test_each_tap_is_held_against_its_own_untrained_twin():
    parts = claims.judge_claims(*measured(MINI))
    assert set(parts.query("claim == 1")["subject"]) == {"trill-mini-layer19", "trill-mini-top"}
    for tap, gain in (("layer19", 0.20), ("top", 0.20)):
        twin = of(parts, 1, f"trill-mini-{tap}")
        assert list(twin.index) == [f"trill-mini-untrained-{tap}", *claims.HAND_MADE]
        assert twin["diff"].iloc[0] == pytest.approx(gain) and twin["sentence"].iloc[0] == claims.UNTRAINED
        assert "untrained" not in twin.index
    assert overall(parts, claims.UNTRAINED)[1, "trill-mini-top"] == "holds"


@pytest.mark.parametrize("name", ["trill-mini-untrained-layer19", "trill-mini-untrained-top", "trill-mini-finetuned"])
def test_controls_and_fine_tuned_networks_are_never_the_subject_of_claims_1_and_5(name):
    parts = claims.judge_claims(*measured(MINI), within({name: 0.9, "trill-mini-top": 0.8, "logmel": 0.4}))
    assert name not in set(parts.query("claim in (1, 5)")["subject"])
    assert set(parts.query("claim == 5")["subject"]) == {"trill-mini-top"}


def test_families_do_not_mix():
    """The published network and the kit's own, in one table: every claim is asked of both, within each."""
    parts = claims.judge_claims(*measured(ALL | MINI))
    pairs_of = set(zip(parts["subject"], parts["against"], strict=True))
    assert {("trill-layer19", "trill-top"), ("trill-mini-layer19", "trill-mini-top"),
            ("trill-distilled", "trill-layer19"), ("trill-mini-distilled", "trill-mini-layer19")} <= pairs_of
    own = {p for p in pairs_of if p[0].startswith("trill-mini")}
    assert {b for _, b in own} <= {*claims.MINI.members, *claims.MINI.untrained, *claims.HAND_MADE}
    assert parts.query("claim == 2")["subject"].value_counts().to_dict() == {
        "trill-layer19": 3, "trill-mini-layer19": 3}


def test_what_was_asked_for_and_is_missing_decides_whose_claims_they_are():
    gone = pd.DataFrame([("savee", "trill-mini-top", "no weights", "")],
                        columns=["task", "embedding", "why", "remedy"])
    parts = claims.judge_claims(*measured({"logmel": 0.5, "mfcc": 0.5}), not_run=gone)
    assert set(parts.query("claim == 2")["subject"]) == {"trill-mini-layer19"}


def test_fine_tuning_is_held_against_both_frozen_taps_where_all_ran():
    rows, answers = measured(MINI)
    few = ~((rows["embedding"] == claims.FINE_TUNED) & (rows["task"] == "savee"))
    rows, answers = rows[few], answers[answers["key"].isin(rows[few]["key"])]
    fourth = of(claims.judge_claims(rows, answers), 4, claims.FINE_TUNED)
    assert list(fourth.index) == ["trill-mini-layer19", "trill-mini-top"] and (fourth["tasks"] == 2).all()
    assert fourth["diff"].tolist() == pytest.approx([0.15, 0.30]) and (fourth["verdict"] == "holds").all()
    worse = claims.judge_claims(*measured(MINI | {"trill-mini-finetuned": 0.65}))
    assert overall(worse)[4, claims.FINE_TUNED] == "does not hold"  # above the top, below layer 19


def test_without_fine_tuning_claim_4_says_who_makes_it():
    rest = {k: v for k, v in MINI.items() if k != claims.FINE_TUNED}
    fourth = claims.summarise_claims(claims.judge_claims(*measured(rest))).set_index("claim").loc[4]
    assert fourth["verdict"] == "not run" and fourth["why"] == "needs trill-mini-finetuned (notebook 7 makes it)"
    part = of(claims.judge_claims(*measured(rest)), 4, claims.FINE_TUNED)["why"]
    assert set(part) == {"needs trill-mini-finetuned (notebook 7 makes it)"}


# ------------------------------------------------------------------ claim 6

def test_claim_6_is_the_interval_of_the_share_that_the_regression_gives():
    rows, answers = measured(ALL)
    rng = np.random.default_rng(0)
    rows = rows.assign(value=rows["value"] + rng.normal(0, 0.01, len(rows)))
    (part,) = claims.judge_claims(rows, answers).query("claim == 6").to_dict("records")
    term = effects.regress(rows).terms.set_index("kind").loc["embedding"]
    assert (part["diff"], part["low"], part["high"]) == (term["share"], term["low"], term["high"])
    assert part["verdict"] == "holds" and part["unit"] == "share" and part["tasks"] == 3 and part["clips"] == 900
    assert f"F({term['df']:.0f}, {term['df_residual']:.0f})" in part["why"]
    assert claims.format_part(part).endswith("of the variance")


def test_claim_6_is_undecided_where_embeddings_are_alike_and_refuted_where_many_scores_say_so():
    names = [f"e{i}" for i in range(8)]
    rows, answers = measured(dict.fromkeys(names, 0.5), tasks=[f"t{i}" for i in range(6)])
    noise = np.random.default_rng(1).normal(0, 0.05, len(rows))
    found = claims.judge_claims(rows.assign(value=0.5 + noise), answers).query("claim == 6")
    assert found["verdict"].item() == "undecided" and found["low"].item() == 0
    # every embedding with the same sum over tasks: no embedding explains anything
    grid = noise.reshape(6, 8)
    flat = (grid - grid.mean(axis=0)).ravel()
    found = claims.judge_claims(rows.assign(value=0.5 + flat), answers).query("claim == 6")
    assert found["verdict"].item() == "does not hold" and found["high"].item() < claims.SHARE


def test_claim_6_without_enough_scores_is_not_run_and_says_why():
    rows, answers = measured({"logmel": 0.5, "mfcc": 0.6}, tasks=("savee",))
    part = claims.judge_claims(rows, answers).query("claim == 6")
    assert part["verdict"].item() == "not run" and "1 task and 2 embeddings are too few" in part["why"].item()


# ------------------------------------------------------------------ verdicts and what is missing

def test_what_is_false_does_not_hold_and_what_cannot_be_told_is_undecided():
    scores = ALL | {"trill-layer19": 0.45, "trill-top": 0.46, "trill-distilled": 0.30}
    found = overall(claims.judge_claims(*measured(scores)))
    assert found[1, "trill-layer19"] == "does not hold"
    assert found[2, "trill-layer19"] == "undecided"
    assert found[3, "trill-distilled"] == "does not hold"


def test_one_task_on_which_a_claim_fails_is_enough_where_it_says_every():
    rows, answers = measured(ALL)
    other_rows, other_answers = measured(ALL | {"trill-layer19": 0.3}, tasks=("dementiabank",))
    parts = claims.judge_claims(pd.concat([rows, other_rows]), pd.concat([answers, other_answers]))
    found = claims.summarise_claims(parts).set_index("claim")
    assert found.loc[2, "verdict"] == "does not hold"
    assert found.loc[2, "why"] == "does not hold in 1, holds in 3 of 4 comparisons"
    assert overall(parts)[1, "trill-layer19"] == "holds"


def test_the_margin_of_the_distilled_network_counts():
    lost = {"trill-layer19": 0.80, "trill-distilled": 0.78}
    (part,) = claims.judge_claims(*measured(lost)).query("claim == 3").to_dict("records")
    assert part["high"] < 0 < part["low"] + claims.MARGIN and part["verdict"] == "holds"
    assert "5 points" in part["sentence"] and part["why"] == "the whole interval lies above -5"
    assert claims.format_part(part).startswith("-2.0 points [")


def test_without_trill_its_claims_are_not_run_and_nothing_takes_its_place():
    present = {k: v for k, v in ALL.items() if not k.startswith("trill")} | {"trillsson1": 0.9, "frill": 0.9}
    parts = claims.judge_claims(*measured(present))
    parts = parts[parts["claim"] < 6]
    assert (parts["verdict"] == "not run").all() and (parts["tasks"] == 0).all() and parts["diff"].isna().all()
    assert not set(parts["subject"]) & set(present)
    found = claims.summarise_claims(parts).drop_duplicates("claim").set_index("claim")["why"]
    assert found[1] == "needs trill-layer19" and found[2] == "needs trill-layer19 and trill-top"


def test_what_is_missing_is_named_with_its_reason():
    scores = {k: v for k, v in ALL.items() if k not in ("opensmile-compare", "trill-top")}
    gone = pd.DataFrame(
        [("savee", "trill-top", "no weights", "get them"), ("dementiabank", "trill-layer19", "no data", "x"),
         ("dementiabank", "trill-top", "no data", "x")], columns=["task", "embedding", "why", "remedy"])
    rows, answers = measured(scores)
    found = claims.summarise_claims(claims.judge_claims(rows, answers, not_run=gone)).set_index(["claim", "sentence"])
    first = found.loc[(1, claims.BY_HAND)]
    assert first["verdict"] == "not run"
    assert first["why"] == "not run in 1, holds in 2 of 3 comparisons; needs opensmile-compare"
    assert "on crema_d, savee, voxforge, dementiabank" in found.loc[(2, claims.SENTENCES[2]), "why"]
    parts = claims.judge_claims(rows, answers, not_run=gone)
    assert parts.query("claim == 2 and task == 'savee'")["why"].item() == "needs trill-top (no weights)"
    assert parts.query("claim == 1 and against == 'logmel'")["why"].str.endswith("not run on dementiabank").any()


def test_nothing_at_all_still_gives_every_claim():
    empty = claims.judge_claims(*(frame.iloc[:0] for frame in measured(ALL)))
    assert claims.summarise_claims(empty)["claim"].tolist() == [1, 1, 2, 3, 4, 5, 6]
    assert (empty["verdict"] == "not run").all()


def test_recordings_count_and_synthetic_speech_only_where_there_is_nothing_else():
    real, voices = measured(ALL), measured(ALL | {"trill-layer19": 0.1}, tasks=("style-synthetic",), kind="synthetic")
    both = claims.judge_claims(*(pd.concat(frames) for frames in zip(real, voices, strict=True)))
    assert both.query("claim == 2")["task"].tolist() == list(NOSS)
    alone = claims.judge_claims(*voices)
    assert set(alone.query("tasks > 0")["speech"]) == {"synthetic"}
    assert overall(alone)[1, "trill-layer19"] == "does not hold"


def test_only_clips_that_both_answered_are_paired_and_the_shown_run_counts():
    rows, answers = measured({"trill-layer19": 0.8, "logmel": 0.5})
    lost = answers["embedding"].eq("logmel") & answers["clip_id"].str.endswith("7")
    kept = claims.judge_claims(rows, answers[~lost]).query("against == 'logmel' and claim == 1")
    assert kept["verdict"].item() == "holds" and kept["tasks"].item() == 3
    older = answers[answers["embedding"] == "logmel"].assign(key="older", y_pred="a")
    again = claims.judge_claims(rows, pd.concat([older, answers])).query("against == 'logmel' and claim == 1")
    assert again["diff"].item() == pytest.approx(0.3)


def within(scores: dict[str, float], task: str = "crema_d", speakers: int = 8, clips: int = 12) -> pd.DataFrame:
    parts = []
    for name, score in scores.items():
        for number in ("666", "1"):
            hard = np.random.default_rng(int(number)).permutation(speakers * clips) / (speakers * clips)
            parts.append(pd.DataFrame({
                "key": name.replace("-", ""), "task": task, "embedding": name, "protocol": "within-speaker", "shots": 0,
                "split_number": number, "clip_id": [f"c{i}" for i in range(len(hard))],
                "speaker": [f"s{i % speakers}" for i in range(len(hard))], "y_true": "a",
                "y_pred": np.where(hard < score, "a", "b")}))
    return conforming(pd.concat(parts, ignore_index=True), PROTOCOL_ANSWERS)


def test_the_claim_about_single_speakers_needs_the_answers_of_its_protocol():
    rows, answers = measured(ALL)
    personal = within({"trill-layer19": 0.9, "logmel": 0.4, "mfcc": 0.88})
    parts = claims.judge_claims(rows, answers, personal).query("claim == 5").set_index("against")
    assert parts.loc["logmel", "verdict"] == "holds" and parts.loc["mfcc", "verdict"] == "undecided"
    assert parts.loc["logmel", "diff"] == pytest.approx(0.5, abs=0.01) and parts.loc["logmel", "clips"] == 96
    assert parts.loc["opensmile-compare", "why"] == "needs within-speaker results of opensmile-compare"
    without = claims.judge_claims(rows, answers).query("claim == 5")
    assert set(without["why"]) == {"needs within-speaker results of trill-layer19"}
    other = personal.assign(protocol="repeated")
    assert (claims.judge_claims(rows, answers, other).query("claim == 5")["verdict"] == "not run").all()


# ------------------------------------------------------------------ the statistics

def answers_of(rng: np.random.Generator, gain: float, speakers: int, clips: int) -> comparisons.Paired:
    """Two embeddings on one task: speakers differ in how well each embedding suits them, clips in difficulty."""
    group = np.repeat(np.arange(speakers), clips)
    ease = rng.normal(0, 1, speakers * clips)
    suits = rng.normal(0, 0.25, (2, speakers))
    right = [ease + rng.normal(0, 1, len(ease)) + shift + suit[group] > 0
             for shift, suit in zip((gain, 0.0), suits, strict=True)]
    return comparisons.Paired.of(*right, group, resamples=500)


def judged(rng: np.random.Generator, gain: float, sets=((8, 25), (12, 15), (4, 40))) -> str:
    mean = comparisons.average_differences([answers_of(rng, gain, *size).at() for size in sets])
    return claims.judge_difference(mean, mean, 0.0)[0]


def test_without_a_difference_a_claim_hardly_ever_holds_and_with_a_large_one_it_nearly_always_does():
    """Three tasks, one with four speakers (where clips are resampled, and speakers are not seen to differ)."""
    rng = np.random.default_rng(7)
    null = [judged(rng, 0.0) for _ in range(120)]
    large = [judged(rng, 0.6) for _ in range(20)]
    assert null.count("holds") <= 8 and null.count("does not hold") <= 8  # 2.5 % expected of each
    assert large.count("holds") >= 19 and large.count("does not hold") == 0


def test_a_claim_of_many_parts_is_not_refuted_by_chance():
    """Layer 19 against the top on six tasks, all the same: refuted in about 5 % of runs, not in 14 %."""
    rng, refuted = np.random.default_rng(11), 0
    strict = 1 - (1 - LEVEL) / 6
    for _ in range(40):
        pairs = [answers_of(rng, 0.0, 10, 12) for _ in range(6)]
        verdicts = [claims.judge_difference(pair.at(), pair.at(strict), 0.0)[0] for pair in pairs]
        refuted += claims.REFUTED in verdicts
    assert refuted <= 5
