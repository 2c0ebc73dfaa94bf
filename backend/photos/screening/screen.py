"""Select the faces to use: one person, no duplicate images, the best photos; with a reason for every rejection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from backend.photos.screening.candidate import FaceCandidate, mirrored_fingerprint
from backend.photos.screening.identity import IdentityModel
from backend.photos.screening.settings import SCREENING


@dataclass(frozen=True)
class Choice:
    """Result of the screening.

    Attributes
    ----------
    used : the selected faces, best first.
    left_out : photo index -> sentence for the user.
    notes : photo index -> sentence about a used photo.
    chosen : photo index -> the face considered, used or not.
    """

    used: tuple[FaceCandidate, ...]
    left_out: dict[int, str]
    notes: dict[int, str]
    chosen: dict[int, FaceCandidate]


def screen(
    faces_by_photo: Sequence[Sequence[FaceCandidate]], names: Sequence[str], model: IdentityModel, max_used: int
) -> Choice:
    """Select among the faces of each photo (an empty sequence if it has none); ``names`` are the photos'."""
    chosen = choose_person(faces_by_photo, model)
    notes = {
        photo: _several_note(len(faces), len(chosen)) for photo, faces in enumerate(faces_by_photo) if len(faces) > 1
    }
    left_out = duplicates(list(chosen.values()), names)
    kept = [face for photo, face in chosen.items() if photo not in left_out]
    left_out |= other_people(kept, model)
    kept = [face for face in kept if face.photo not in left_out]
    poor = {face.photo: reason for face in kept if (reason := weakness(face))}
    if len(poor) < len(kept):
        left_out |= poor
        kept = [face for face in kept if face.photo not in poor]
    else:
        notes |= {photo: f"{reason} It was used because there is no better photo." for photo, reason in poor.items()}
    best = best_spread(kept, max_used)
    taken = {face.photo for face in best}
    for face in kept:
        if face.photo not in taken:
            left_out[face.photo] = f"It is not among the best {max_used} of {len(kept)} good photos; more are not used."
    best.sort(key=lambda face: (-face.quality.score, face.photo))
    return Choice(tuple(best), left_out, {photo: note for photo, note in notes.items() if photo in taken}, chosen)


def choose_person(faces_by_photo: Sequence[Sequence[FaceCandidate]], model: IdentityModel) -> dict[int, FaceCandidate]:
    """Choose one face per photo such that the faces match each other best; larger faces are preferred.

    Coordinate ascent, started from every face of the photo with the fewest faces: each photo takes the face most
    similar to the other photos' faces, until nothing changes. The start with the highest total wins.
    """
    groups = [list(faces) for faces in faces_by_photo if faces]
    largest = [max(range(len(faces)), key=lambda k: faces[k].size_px) for faces in groups]
    if all(len(faces) == 1 for faces in groups) or len(groups) < 2:
        return {faces[k].photo: faces[k] for faces, k in zip(groups, largest, strict=True)}
    flat = [face for faces in groups for face in faces]
    starts = np.cumsum([0] + [len(faces) for faces in groups])
    span = model.evidence.same - model.evidence.different
    alike = (model.similarities(np.array([face.descriptor for face in flat])) - model.evidence.different) / span
    alike = np.clip(alike, -1.0, 1.5)
    large = np.concatenate(
        [
            SCREENING.size_weight * np.log2([face.size_px / max(other.size_px for other in faces) for face in faces])
            for faces in groups
        ]
    )

    def climb(selection: list[int]) -> tuple[float, list[int]]:
        for _ in range(SCREENING.rounds):
            before = list(selection)
            for group in range(len(groups)):
                others = [index for other, index in enumerate(selection) if other != group]
                members = np.arange(starts[group], starts[group + 1])
                gain = alike[np.ix_(members, others)].mean(axis=1) + large[members]
                selection[group] = int(members[np.argmax(gain)])
            if selection == before:
                break
        pairs = alike[np.ix_(selection, selection)]
        mean_alike = (pairs.sum() - np.trace(pairs)) / max(1, len(selection) - 1)
        return float(mean_alike + large[selection].sum()), selection

    fewest = min(range(len(groups)), key=lambda group: len(groups[group]))
    trials = []
    for seed in range(starts[fewest], starts[fewest + 1]):
        selection = [
            int(
                starts[group]
                + np.argmax(alike[starts[group] : starts[group + 1], seed] + large[starts[group] : starts[group + 1]])
            )
            for group in range(len(groups))
        ]
        selection[fewest] = seed
        trials.append(climb(selection))
    trials.append(climb([int(starts[group] + k) for group, k in enumerate(largest)]))
    best = max(trials, key=lambda trial: trial[0])[1]
    return {flat[index].photo: flat[index] for index in sorted(best)}


def duplicates(faces: Sequence[FaceCandidate], names: Sequence[str]) -> dict[int, str]:
    """Photo index -> reason for every copy of an image except the best one."""
    left_out: dict[int, str] = {}
    kept: list[FaceCandidate] = []
    for face in sorted(faces, key=lambda face: (-round(face.quality.score, 2), face.photo)):
        for other in kept:
            if float(face.fingerprint @ other.fingerprint) > SCREENING.same_picture:
                left_out[face.photo] = f"It is the same picture as {names[other.photo]}; one of them is enough."
            elif float(face.fingerprint @ mirrored_fingerprint(other.fingerprint)) > SCREENING.same_picture:
                left_out[face.photo] = f"It is the mirror image of {names[other.photo]}; one of them is enough."
            else:
                continue
            break
        else:
            kept.append(face)
    return left_out


def other_people(faces: Sequence[FaceCandidate], model: IdentityModel) -> dict[int, str]:
    """Photo index -> reason for faces of another person than most photos show.

    Average linkage clusters the faces. The largest cluster is the person if it is larger than every other, has at
    least two faces and is consistent. A face is rejected if its mean similarity to it is below the model's ``stranger``
    threshold. With fewer than three photos nothing is rejected.
    """
    if len(faces) < SCREENING.min_photos:
        return {}
    evidence = model.evidence
    alike = model.similarities(np.array([face.descriptor for face in faces]))
    apart = np.maximum(alike.max() - (alike + alike.T) / 2, 0.0)
    np.fill_diagonal(apart, 0.0)
    limit = alike.max() - (evidence.same + evidence.different) / 2
    groups = fcluster(linkage(squareform(apart, checks=False), "average"), limit, "distance")
    sizes = np.bincount(groups)
    person = groups == np.argmax(sizes)
    if person.sum() < 2 or (sizes == sizes.max()).sum() > 1:
        return {}
    pairs = alike[np.ix_(person, person)]
    agreement = (pairs.sum() - np.trace(pairs)) / (len(pairs) * (len(pairs) - 1))
    if agreement < evidence.consistent:
        return {}
    to_person = alike[:, person].mean(axis=1)
    return {
        face.photo: "It seems to show another person than the other photos do."
        for face, own, similarity in zip(faces, person, to_person, strict=True)
        if not own and similarity < evidence.stranger
    }


def weakness(face: FaceCandidate) -> str:
    """Sentence that says why the face is of little use; empty if it is good enough."""
    quality = face.quality
    if face.size_px < SCREENING.min_face_px:
        return f"The face is only {face.size_px:.0f} pixels high; give a larger picture of it."
    if abs(face.pose.yaw) > SCREENING.max_yaw:
        return "It shows the face from the side only; give a photo in which both eyes are seen."
    if quality.occlusion < SCREENING.min_occlusion:
        return "Most of the face is covered."
    if quality.sharpness < SCREENING.min_sharpness:
        return "The face is too blurred."
    if quality.exposure < SCREENING.min_exposure:
        return "The face is too dark or too bright."
    return ""


def best_spread(faces: Sequence[FaceCandidate], most: int) -> list[FaceCandidate]:
    """Choose at most ``most`` faces greedily by quality, reduced for poses close to those already chosen."""
    if len(faces) <= most:
        return list(faces)
    left, taken = list(faces), []
    turns = np.array([[face.pose.yaw, face.pose.pitch] for face in left]) / SCREENING.pose_reach
    scores = np.array([face.quality.score for face in left])
    crowding = np.zeros(len(left))
    available = np.ones(len(left), dtype=bool)
    while len(taken) < most:
        value = np.where(available, scores / (1.0 + crowding), -1.0)
        index = int(np.argmax(value))
        taken.append(left[index])
        available[index] = False
        crowding += np.exp(-0.5 * ((turns - turns[index]) ** 2).sum(axis=1)) / 4
    return taken


def _several_note(count: int, photos: int) -> str:
    taken = "the one that matches the other photos best" if photos > 1 else "the largest"
    return f"{count} faces are in it; {taken} was taken."
