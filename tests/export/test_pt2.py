"""`.pt2` files: those that torch writes load; those that could run code are refused before anything runs."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgebig.errors import InvalidModelError, UsageError
from edgebig.export import ExportOptions, export_model
from edgebig.export.program_inputs import inputs_of_program
from edgebig.export.pt2 import load_program


class Marker:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


class Program(torch.nn.Module):
    """Weights, a constant, a size computed from a dynamic one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.shift = torch.arange(3.0)

    def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.layer(x) * scale + self.shift
        return {"y": y, "twice": torch.cat([y, y])}


class Pairs(torch.nn.Module):
    """Adds neighbours: an even batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, 2, 3).sum(1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with a dynamic batch of 2 to 64."""
    path = tmp_path_factory.mktemp("pt2") / "program.pt2"
    batch = torch.export.Dim("n", min=2, max=64)
    program = torch.export.export(
        Program().eval(),
        (torch.randn(4, 4),),
        {"scale": torch.randn(3)},
        dynamic_shapes={"x": {0: batch}, "scale": None},
    )
    torch.export.save(program, path)
    return path


def _rewrite(saved: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of the archive with other members."""
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def _member(members: dict[str, bytes], end: str) -> str:
    return next(name for name in members if name.endswith(end))


def _replace(members: dict[str, bytes], end: str, old: str, new: str) -> None:
    name = _member(members, end)
    text = members[name].decode()
    assert old in text
    members[name] = text.replace(old, new).encode()


def test_an_untouched_file_loads_and_states_its_inputs(saved: Path) -> None:
    program = load_program(saved)
    inputs = inputs_of_program(program, ExportOptions())
    assert [(spec.name, str(spec.dtype)) for spec in inputs.specs] == [("x", "float32"), ("scale", "float32")]
    assert inputs.specs[1].shape == (3,)


def test_rewriting_alone_changes_nothing(saved: Path, tmp_path: Path) -> None:
    load_program(_rewrite(saved, tmp_path / "copy.pt2", lambda members: None))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("torch.ops.aten.linear.default", "torch.ops.load_library"),
        ("torch.ops.aten.linear.default", "torch.os.system"),
        ("torch.ops.aten.linear.default", "torch.ops.aten.from_file.default"),
        ("torch.ops.aten.linear.default", "_operator.attrgetter"),
        ("torch.ops.aten.linear.default", "#triton:kernel"),
        ('"expr_str": "', "\"expr_str\": \"__import__('os').system('touch x') or "),
        ('"expr_str": "', '"expr_str": "lambdify(x, y)*'),
        ('"expr_str": "', '"expr_str": "(1).__class__*'),
        ('"range_constraints": {"', '"range_constraints": {"__import__(\'os\')'),
    ],
)
def test_a_graph_that_names_other_code_is_refused(saved: Path, tmp_path: Path, old: str, new: str) -> None:
    path = _rewrite(saved, tmp_path / "bad.pt2", lambda members: _replace(members, "models/model.json", old, new))
    with pytest.raises(InvalidModelError, match=r"is refused: .* could run code"):
        load_program(path)


@pytest.mark.parametrize(
    ("end", "old", "new"),
    [
        ("_weights_config.json", '"use_pickle": false', '"use_pickle": true'),
        ("_weights_config.json", '"path_name": "weight_0"', '"path_name": "../../weight_0"'),
        ("_constants_config.json", '"path_name": "tensor_0"', '"path_name": "opaque_obj_0"'),
        ("_constants_config.json", '"path_name": "tensor_0"', '"path_name": "custom_obj_0"'),
    ],
)
def test_pickled_weights_and_constants_are_refused(saved: Path, tmp_path: Path, end: str, old: str, new: str) -> None:
    path = _rewrite(saved, tmp_path / "bad.pt2", lambda members: _replace(members, end, old, new))
    with pytest.raises(InvalidModelError, match=r"is refused: .* could run code"):
        load_program(path)


@pytest.mark.parametrize(
    "name", ["data/aotinductor/model/model.so", "data/weights/model.pt", "data/constants/opaque_obj_0", "models/m.evil"]
)
def test_members_that_torch_does_not_write_for_a_plain_module_are_refused(
    saved: Path, tmp_path: Path, name: str
) -> None:
    def add(members: dict[str, bytes]) -> None:
        members[next(iter(members)).split("/")[0] + "/" + name] = b"x"

    with pytest.raises(InvalidModelError, match="is refused: it holds"):
        load_program(_rewrite(saved, tmp_path / "bad.pt2", add))


def test_the_copy_that_torch_reads_has_what_was_looked_at(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        names = archive.namelist()
    path = tmp_path / "bad.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, zipfile.ZipFile(saved) as source:
        for name in names:
            archive.writestr(name, source.read(name))
    with pytest.raises(InvalidModelError, match="compressed"):
        load_program(path)
    path.write_bytes(b"#" * 50 + saved.read_bytes())  # Python's zipfile skips what stands before the archive
    assert load_program(path).graph_signature.user_inputs == ("x", "scale")


def test_a_hostile_pickle_of_example_inputs_is_not_run(saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    hostile = io.BytesIO()
    torch.save((((Marker(marker),),), {}), hostile)

    def change(members: dict[str, bytes]) -> None:
        members[_member(members, "sample_inputs/model.pt")] = hostile.getvalue()

    with pytest.raises(InvalidModelError, match="cannot be loaded by torch"):
        load_program(_rewrite(saved, tmp_path / "bad.pt2", change))
    assert not marker.exists()
    with io.BytesIO(pickle.dumps(Marker(marker))) as stream:
        pickle.load(stream).close()
    assert marker.exists()  # the trap itself works


def test_guards_of_the_file_are_not_compiled(saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    def change(members: dict[str, bytes]) -> None:
        name = _member(members, "models/model.json")
        content = json.loads(members[name])
        content["guards_code"] = [f"open({str(marker)!r}, 'w') is not None"]
        members[name] = json.dumps(content).encode()

    path = _rewrite(saved, tmp_path / "bad.pt2", change)
    _, record = export_model(path, options=ExportOptions(dynamic=("x:0=batch",), sizes=("batch=1,3,64,65",)))
    assert [(i.name, i.shape) for i in record.inputs] == [("x", ("batch", 4)), ("scale", (3,))]
    assert [output.name for output in record.outputs] == ["y", "twice"]
    assert record.sizes == ("batch=2", "batch=3", "batch=64")  # 1 and 65 are out of the program's range
    assert max(row.worst_error for row in record.parity) < 1e-6
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_damaged_files_are_one_message(saved: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes(saved.read_bytes()[:1000] if content is None else content)
    with pytest.raises(InvalidModelError, match=r"no readable .pt2 file"):
        load_program(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/b.txt", "x")
    with pytest.raises(InvalidModelError, match="holds no exported program"):
        load_program(path)


def test_composed_sizes_are_refused(tmp_path: Path) -> None:
    half = torch.export.Dim("half", min=1, max=64)
    program = torch.export.export(Pairs(), (torch.randn(4, 3),), dynamic_shapes=({0: 2 * half},))
    torch.export.save(program, tmp_path / "pairs.pt2")
    with pytest.raises(UsageError, match=r"axis 0 of 'x' has the size 2\*s\d+ .*from its source instead"):
        export_model(tmp_path / "pairs.pt2")


def test_what_a_program_settles_itself_cannot_be_asked(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="states its inputs itself"):
        export_model(saved, options=ExportOptions(inputs=("x:float32:2x4",)))
    with pytest.raises(UsageError, match="holds its weights"):
        export_model(saved, options=ExportOptions(weights=str(saved)))
    with pytest.raises(UsageError, match=r"axis 1 of 'x' is fixed at 4 in the .pt2 file"):
        export_model(saved, options=ExportOptions(dynamic=("x:1=width",)))
    with pytest.raises(UsageError, match="unknown input 'z'"):
        export_model(saved, options=ExportOptions(dynamic=("z:0=n",)))
