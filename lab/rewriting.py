"""A whole rewrite: the rewriter's edits, then proof by execution, then the files, all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import rewriters
from lab.balance import check_balance
from lab.copying import copy_check
from lab.cost.counts import count
from lab.engine.native.compiling import compiled_hook
from lab.engine.native.counting import compiled_counter
from lab.errors import InputError, RefusedError
from lab.images.image import Image, load_image
from lab.images.rebase import rebased, way_home
from lab.layout import Flavour, Leaves, Policy, RewriteMap, map_path
from lab.machine.machine import End, Limits, Outcome, Process
from lab.proposals.api import Proposal, Rewrite
from lab.rebased import rebased_map
from lab.untrusted import EMULATOR, REWRITER, Stage, apart, load_untrusted
from rewriters.compiled import map_of_compiled
from rewriters.flavours.api import DISTANCE
from rewriters.refusals import MARKER

Result = TypeVar("Result")


@dataclass(frozen=True)
class Verified:
    """A rewritten image on disk with its map."""

    image: Image
    map: RewriteMap


def rewrite_file(
    src: Path,
    out: Path,
    mode: str,
    flavour: str | Flavour,
    policy: Policy,
    *,
    leaves: Leaves = Leaves.ALL,
    limits: Limits | None = None,
    process: Process | None = None,
) -> RewriteMap:
    """Rewrite *src* into *out* and ``out.rewrite.json``, verified; on any error neither is written.

    *process*: how a real program is started for the checks that run it; without one it is a freestanding image."""
    image = load_untrusted(src)
    if out.is_dir():
        raise InputError(f"{out}: is a folder; name a file for the output")
    if out.exists() and src.exists() and out.samefile(src):
        raise InputError(f"{out}: is the input; choose another output")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder for the output")
    request = Rewrite(mode, rewriters.flavour_by_name(flavour).name, policy, leaves)
    compiled_counter(), compiled_hook()  # here, not in each child anew
    return _produce(image, out, request, limits or Limits(), trusted=False, process=process).map


def rewritten(image: Image, request: Rewrite, limits: Limits, cache_folder: Path) -> Verified:
    """The verified rewrite of *image* from the cache, made if it is not there.

    The name covers the image, the request and every source file that has a part in making or checking it.
    """
    what = f"{request.mode} {request.flavour} {request.policy.value} {request.leaves.value}"
    added = rewriters.flavour_by_name(request.flavour)  # its text may come from a user's file
    key = f"{image.sha256} {what} {_source_digest()} {added}"
    folder = cache_folder / "rewritten"
    out = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.elf"
    if out.exists() and map_path(out).exists():
        found = load_map(out)
        loaded = load_image(out)
        if found.output_sha256 == loaded.sha256:
            return Verified(loaded, found)
    folder.mkdir(parents=True, exist_ok=True)
    return _produce(image, out, request, limits, trusted=True)


def with_shadow(
    image: Image, proposal: Proposal, limits: Limits, cache_folder: Path
) -> tuple[Image, RewriteMap | None]:
    """*image*, built as *proposal* says, with its shadow stack: rewritten, or as its compiler made it; None: none."""
    if proposal.rewrite is not None:
        done = rewritten(image, proposal.rewrite, limits, cache_folder)
        return done.image, done.map
    return image, compiled(image, limits) if proposal.compiler else None


def not_in_the_kernel(proposal: Proposal) -> str | None:
    """Why images with the small kernel cannot have *proposal*'s shadow stack, None where they can."""
    if proposal.rewrite is None or rewriters.flavour_by_name(proposal.rewrite.flavour).reach is not Flavour.PARALLEL:
        return None
    return (
        f"a parallel shadow stack lies {DISTANCE >> 20} MiB below its stack, and the small kernel's stacks (for inject "
        "and blocked) lie in an image that begins at 4 MiB: no address is left there; leave those modes out"
    )


def compiled(image: Image, limits: Limits) -> RewriteMap:
    """The map of an image whose compiler put the shadow stack in, its layout proved by execution as a rewrite's is.

    RefusedError names the place where it is not so."""
    found = map_of_compiled(image)
    balance = check_balance(image, found, limits)
    if balance.problem:
        raise RefusedError(f"{image.path}: its own shadow stack is not where its code says: {balance.problem}")
    return replace(found, checks={"shadow_balance_stops": balance.checked})


def load_map(image: Path) -> RewriteMap:
    """The map beside *image*; InputError if there is none."""
    path = map_path(image)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no rewrite map beside the image; rewrite it with unwindlab") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot read the rewrite map: {why}; rewrite the image again") from None
    return RewriteMap.from_json(text, str(path))


def find_map(image: Image) -> RewriteMap | None:
    """The map beside *image*, None where there is none; InputError if it belongs to another file, or is lost."""
    if not map_path(image.path).exists():
        if any(s.data.startswith(MARKER) for s in image.segments):
            raise InputError(f"{image.path}: rewritten, but its map {map_path(image.path).name} is not beside it")
        return None
    found = load_map(image.path)
    if found.output_sha256 != image.sha256:
        raise InputError(f"{map_path(image.path)}: describes another image; rewrite it again or delete the map")
    return found


def _produce(
    image: Image, out: Path, request: Rewrite, limits: Limits, *, trusted: bool, process: Process | None = None
) -> Verified:
    """Rewrite, prove, then write.  An image that is not *trusted* is worked on in children only."""

    def work(stage: Stage, function: Callable[..., Result], *args: object) -> Result:
        return function(*args) if trusted else apart(stage, image.path, function, *args, seconds=4 * limits.seconds)

    asked = (request.mode, request.flavour, request.policy, request.leaves)
    result = work(REWRITER, rewriters.rewrite, image, *asked)
    with _temporary(out) as temporary:
        temporary.write_bytes(result.data)
        temporary.chmod(0o777 & ~_umask())
        draft, checks = work(EMULATOR, _proved, image, temporary, result.map, limits, process)
        if not trusted:
            copied = work(EMULATOR, copy_check, image, request.mode, request.leaves, limits, process)
            checks = {"copy_only": copied} | checks
        final = replace(result.map, checks=result.map.checks | checks)
        # The map goes first: an image without its map would be judged as if it had no shadow stack.
        with _temporary(map_path(out)) as map_file:
            map_file.write_text(final.to_json())
            map_file.chmod(0o666 & ~_umask())
            map_file.replace(map_path(out))
        temporary.replace(out)
    return Verified(replace(draft, path=out), final)


def _proved(
    old: Image, draft: Path, rewrite: RewriteMap, limits: Limits, process: Process | None
) -> tuple[Image, dict[str, Any]]:
    """The image in the file *draft*, and what running it shows."""
    new = load_image(draft)
    return new, dynamic_checks(old, new, rewrite, limits, process)


@contextlib.contextmanager
def _temporary(out: Path) -> Iterator[Path]:
    """A fresh file beside *out* that is gone afterwards unless it was moved away."""
    path = out.with_name(f".{out.name}.{secrets.token_hex(8)}")  # known before it exists, or a stop could lose it
    try:
        try:
            path.touch(0o600, exist_ok=False)
        except OSError as error:
            raise InputError(f"{out.parent}: cannot write there: {error.strerror}") from None
        yield path
    finally:
        path.unlink(missing_ok=True)


def _umask() -> int:
    """What the user takes away from new files; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def dynamic_checks(
    old: Image, new: Image, rewrite: RewriteMap, limits: Limits, process: Process | None = None
) -> dict[str, Any]:
    """Same result before and after, and shadow balance; of a real program, which *process* starts, the same system
    calls too.  RefusedError names the check that failed.

    Where the original does not end by itself within the limits, equality cannot be shown: the check is
    reported as ``undetermined``, never as passed.
    """
    if process is not None and (by := way_home(old)):
        old, new, rewrite = rebased(old, by), rebased(new, by), rebased_map(rewrite, by)
    before, after = count(old, None, limits, process), count(new, rewrite.layout, limits, process)
    balance = check_balance(new, rewrite, limits, process)
    if balance.problem:
        raise RefusedError(f"{old.path}: rewrite not written: shadow balance fails: {balance.problem}")
    if before.outcome.end is End.BUDGET:
        same = f"undetermined: the original did not end within {before.outcome.detail}"
    elif before.outcome.result != after.outcome.result:
        raise RefusedError(
            f"{old.path}: rewrite not written: result changed from {before.outcome.result} to {after.outcome.result}"
        )
    elif difference := _difference(before.outcome, after.outcome):
        raise RefusedError(f"{old.path}: rewrite not written: {difference}")
    else:
        same = "passed"
    trace = before.outcome.trace
    return {
        "same_result": same,
        "result": before.outcome.result,
        "shadow_balance": "passed" if balance.checked else "undetermined: no instrumented function ran",
        "shadow_balance_stops": balance.checked,
        "instructions_before": before.instructions,
        "instructions_after": after.instructions,
    } | ({} if trace is None else {"same_system_calls": same, "system_calls": trace.count})


def _difference(before: Outcome, after: Outcome) -> str:
    """Where the system calls of two runs of a process differ, "" where they do not."""
    return before.trace.difference(after.trace) if before.trace and after.trace else ""


@cache
def _source_digest() -> str:
    """A digest of every source file that decides what a verified rewrite is."""
    lab = Path(__file__).parent
    parts = [Path(rewriters.__file__).parent, lab / "arch", lab / "images", lab / "machine", lab / "engine"]
    files = sorted(f for part in parts for f in part.rglob("*.py"))
    files += [lab / "layout.py", lab / "truth.py", lab / "balance.py", Path(__file__)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
