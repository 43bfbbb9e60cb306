"""The files and wildcards of a job, made in a fraction of the time that Snakemake takes.

Snakemake makes each file of each job by several regular expressions, copies and searches. All jobs of a rule have the
same patterns, so each pattern is taken apart once. What a shortcut is not sure of goes to Snakemake's own function: a
path with unusual characters, a flag that changes how files are found, an exception.
"""

# ruff: noqa: SLF001  (Snakemake has no interface for this)

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import FunctionType
from typing import Any, NamedTuple

# What Snakemake warns of, replaces or strips in the name of a file.
UNUSUAL = re.compile(r"^$|^\./|^ | $|/$|\n|//|[<>{}]")
# Flags that change which files a job has, or how they are found.
CHANGING = {"storage_object", "unpack", "from_queue", "before_update", "checkpoint_target"}


class Pattern(NamedTuple):
    """The pattern of an output, log or benchmark file, taken apart.

    Attributes
    ----------
    text
        With %s in place of each wildcard.
    names
        The names of the wildcards, in this order.
    flags
        Of Snakemake, such as `temp`.
    """

    text: str
    names: tuple[str, ...]
    flags: dict[str, object]


class Files:
    """Makes files from patterns."""

    def __init__(self) -> None:
        from snakemake.io import WILDCARD_REGEX, AnnotatedString, _IOFile

        self._wildcard, self._string, self.kind = WILDCARD_REGEX, AnnotatedString, _IOFile
        self._patterns: dict[int, tuple[Any, Pattern | None]] = {}  # with the object, so that its number stays taken

    def new(self, path: str, rule: Any, flags: Mapping[str, object]) -> Any:
        """Make a file; the path has to be usual."""
        string = self._string(path)
        string.flags = dict(flags)
        made = str.__new__(self.kind, path)
        made._is_callable, made._file, made.rule = False, string, rule
        made._regex = made._wildcard_constraints = None
        return made

    def pattern(self, file: Any) -> Pattern | None:
        """Take a pattern apart; None if Snakemake has to do it."""
        found = self._patterns.get(id(file))
        if found is None:
            found = self._patterns[id(file)] = (file, self._take_apart(file))
        return found[1]

    def _take_apart(self, file: Any) -> Pattern | None:
        if type(file) is not self.kind or file.is_callable() or CHANGING & file.flags.keys():
            return None
        text, names, at = [], [], 0
        pattern = str(file.file)
        for match in self._wildcard.finditer(pattern):
            text.append(pattern[at : match.start()].replace("%", "%%"))
            names.append(match.group("name"))
            at = match.end()
        text.append(pattern[at:].replace("%", "%%"))
        return Pattern("%s".join(text), tuple(names), file.flags)

    def path(self, pattern: Pattern, wildcards: Mapping[str, str]) -> str | None:
        """Fill the wildcards in; None if the path is unusual."""
        try:
            path = pattern.text % tuple([wildcards[name] for name in pattern.names])
        except KeyError:
            return None
        return None if UNUSUAL.search(path) else path

    def fill(self, file: Any, rule: Any, wildcards: Mapping[str, str]) -> Any:
        """Make the file of a job; None if Snakemake has to do it."""
        pattern = self.pattern(file)
        path = self.path(pattern, wildcards) if pattern else None
        return None if path is None else self.new(path, rule, pattern.flags)  # type: ignore[union-attr]


def quicken_files() -> None:
    """Let Snakemake 9.27.1 make and compare files and wildcards faster in this process."""
    import snakemake.dag
    import snakemake.io
    import snakemake.jobs
    import snakemake.rules
    from snakemake.iocontainers import InputFiles, Log, OutputFiles, Wildcards

    files = Files()
    lists = Lists(files)
    rule, job, file = snakemake.rules.Rule, snakemake.jobs.Job, snakemake.io._IOFile
    Wildcards.__init__ = fill_wildcards(Wildcards.__init__)
    # The text of a file and the text of its path are the same, so Snakemake's comparison of the latter in Python is
    # not needed.
    file.__eq__, file.__hash__ = str.__eq__, str.__hash__
    file.exists, file.exists_local = exists_in_cache(file.exists), exists_in_cache(file.exists_local)
    flagged = is_flagged(snakemake.io.is_flagged, file, snakemake.io.AnnotatedString)
    for module in (snakemake.io, snakemake.rules, snakemake.jobs, snakemake.dag):
        module.is_flagged = flagged
    file.is_storage = property(lambda self: flagged(self._file, "storage_object"))
    rule.__hash__ = lambda self: hash(self._name)  # that of its name, without a property in between
    rule.expand_input = expand_input(rule.expand_input, files, lists, InputFiles, Wildcards)
    rule.expand_output = expand_output(rule.expand_output, lists, OutputFiles)
    rule.expand_log = expand_log(rule.expand_log, lists, Log)
    rule.expand_benchmark = expand_benchmark(rule.expand_benchmark, files)
    rule.get_wildcards = get_wildcards(rule.get_wildcards, files)
    job.is_valid = is_valid


# -- lists with names ------------------------------------------------------------------------------------------------


def fill_wildcards(begin: Callable[..., None]) -> Callable[..., None]:
    """Make the list of a job's wildcards from a dictionary whose names have been checked before."""
    known: dict[tuple[str, ...], Any] = {}

    @wraps(begin)
    def fill(self: Any, toclone: Any = None, fromdict: dict[str, object] | None = None, **others: Any) -> None:
        names = None if type(fromdict) is not dict or toclone is not None or others else tuple(fromdict)
        state = known.get(names) if names is not None else None
        if names is None or fromdict is None or state is None:
            begin(self, toclone, fromdict, **others)
            if names is not None:
                known[names] = {name: value for name, value in self.__dict__.items() if name not in names}
            return
        self.extend(fromdict.values())
        self.__dict__.update(state, _names=dict(state["_names"]), **fromdict)

    return fill


class Lists:
    """Makes Snakemake's lists with names, without looking at each name again."""

    def __init__(self, files: Files) -> None:
        from snakemake.iocontainers import Namedlist

        self._files, self._plain = files, Namedlist
        self._states: dict[Any, Any] = {}

    def new(self, kind: Any, items: list[Any], names: Sequence[tuple[str, int, int | None]] = ()) -> Any:
        """Make a list in which each name is that of one item, or of the items from a first one to an end."""
        state = self._states.get(kind)
        if state is None:
            state = self._states[kind] = dict(kind().__dict__)
        made = kind.__new__(kind)
        made.extend(items)
        values = made.__dict__
        values.update(state)
        values["_names"] = places = {}
        for name, first, end in names:
            if hasattr(kind, name):  # a reserved name, which is an error, or one that Snakemake treats on its own
                made._set_name(name, first, end)
            else:
                places[name] = (first, end)
                values[name] = items[first] if end is None else self.new(self._plain, items[first:end])
        return made

    def fill(self, kind: Any, patterns: Any, rule: Any, wildcards: Mapping[str, str]) -> Any:
        """Make the files of a job from a list of patterns with names; None if Snakemake has to do it."""
        found = [self._files.fill(each, rule, wildcards) for each in patterns]
        if any(each is None for each in found):
            return None
        return self.new(kind, found, [(name, first, end) for name, (first, end) in patterns._get_names()])


# -- files -----------------------------------------------------------------------------------------------------------


def exists_in_cache(exists: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Answer from the cache at once where it knows the path."""

    @wraps(exists)
    async def look(self: Any) -> bool:
        cache = self.rule.workflow.iocache
        if cache.active and not self.is_storage:
            known = dict.get(cache.exists_local, self)
            if known is not None:
                return bool(known)
        return bool(await exists(self))

    return look


def is_flagged(before: Callable[[Any, str], bool], file: type, string: type) -> Callable[[Any, str], bool]:
    """Look up a flag without asking whether the object belongs to an abstract class."""

    def look(value: Any, flag: str) -> bool:
        kind = type(value)
        if kind is str:
            return False
        if kind is file:
            value = value._file
            kind = type(value)
        if kind is string:
            flags = value._flags
            return flag in flags and bool(flags[flag])
        return False if kind is str else before(value, flag)

    return look


def expand_input(
    before: Callable[..., Any], files: Files, lists: Lists, container: Any, wildcards_of: Any
) -> Callable[..., Any]:
    """Make the inputs of a job whose rule has paths, and functions of its wildcards alone that return paths."""
    from snakemake.common import get_function_params
    from snakemake.exceptions import IncompleteCheckpointException, InputFunctionException, InputOpenException

    known: dict[int, tuple[Any, list[tuple[str | None, Callable[[Any], Any] | None, Any]] | None]] = {}

    def items(rule: Any) -> list[tuple[str | None, Callable[[Any], Any] | None, Any]] | None:
        """Name, function and file of each input; None if Snakemake has to expand them."""
        found: list[tuple[str | None, Callable[[Any], Any] | None, Any]] = []
        if (
            rule.dependencies
            or changes_paths(rule, rule.input_modifier)
            or [*rule.workflow.modifier.default_input_flags]
        ):
            return None
        for name, item in rule.input._allitems():
            if isinstance(item, FunctionType):
                if vars(item) or [*get_function_params(item)] != ["wildcards"]:
                    return None
                found.append((name, item, None))
            elif type(item) is files.kind and not item.flags:
                found.append((name, None, item))
            else:
                return None
        return found

    @wraps(before)
    def expand(self: Any, wildcards: Mapping[str, str], groupid: Any = None) -> Any:
        if id(self) not in known:
            known[id(self)] = (self, items(self))
        named = known[id(self)][1]
        if named is None:
            return before(self, wildcards, groupid=groupid)
        given = wildcards_of(fromdict=wildcards)
        found: list[Any] = []
        names: list[tuple[str, int, int | None]] = []
        for name, function, item in named:
            first, several = len(found), False
            if function is None:
                found.append(files.fill(item, self, wildcards))
            else:
                try:
                    paths = function(given)
                except (IncompleteCheckpointException, InputOpenException):
                    return before(self, wildcards, groupid=groupid)
                except Exception as fault:
                    # As Snakemake does. To ask again would hide it: what a first call settles, no later one repeats.
                    raise InputFunctionException(fault, rule=self, wildcards=wildcards) from fault
                several = type(paths) is list
                for path in paths if several else [paths]:
                    if type(path) is not str or UNUSUAL.search(path):
                        return before(self, wildcards, groupid=groupid)
                    found.append(files.new(path, self, {}))
            if name:
                names.append((name, first, len(found) if several else None))
        if any(each is None for each in found):
            return before(self, wildcards, groupid=groupid)
        return lists.new(container, found, names), {}, {}, False

    return expand


def changes_paths(rule: Any, modifier: Any) -> bool:
    """Whether a prefix or a storage provider changes the paths that input functions return."""
    if rule.workflow.storage_settings.default_storage_provider is not None:
        return True
    while modifier is not None:
        if modifier.prefix is not None or modifier.modifies_prefixes:
            return True
        modifier = modifier.inner_modifier
    return False


def expand_output(before: Callable[..., Any], lists: Lists, container: Any) -> Callable[..., Any]:
    """Make the outputs of a job."""

    @wraps(before)
    def expand(self: Any, wildcards: Mapping[str, str]) -> Any:
        found = lists.fill(container, self.output, self, wildcards)
        return before(self, wildcards) if found is None else (found, dict(zip(found, self.output, strict=True)))

    return expand


def expand_log(before: Callable[..., Any], lists: Lists, container: Any) -> Callable[..., Any]:
    """Make the log files of a job."""

    @wraps(before)
    def expand(self: Any, wildcards: Mapping[str, str]) -> Any:
        found = lists.fill(container, self.log, self, wildcards)
        return before(self, wildcards) if found is None else found

    return expand


def expand_benchmark(before: Callable[..., Any], files: Files) -> Callable[..., Any]:
    """Make the benchmark file of a job."""

    @wraps(before)
    def expand(self: Any, wildcards: Mapping[str, str]) -> Any:
        found = files.fill(self.benchmark, self, wildcards) if self.benchmark else None
        return before(self, wildcards) if found is None else found

    return expand


def is_valid(job: Any) -> None:
    """Expand the job's benchmark and log files, which it then keeps."""
    job.benchmark, job.log  # noqa: B018


def get_wildcards(before: Callable[..., Any], files: Files) -> Callable[..., Any]:
    """Try the wildcards of the job that asks for a file, without making the files that they give."""

    @wraps(before)
    def find(self: Any, requested: Any, wildcards_dict: Mapping[str, str] | None = None) -> Any:
        if requested is None or wildcards_dict is None or not self.wildcard_names <= wildcards_dict.keys():
            return before(self, requested, wildcards_dict)
        if not UNUSUAL.search(requested):
            patterns = [files.pattern(each) for each in self.products()]
            if None not in patterns and all(files.path(each, wildcards_dict) != requested for each in patterns):  # type: ignore[arg-type]
                return before(self, requested, None)
        return before(self, requested, wildcards_dict)

    return find
