"""Files that cannot be worked with: each gives one clear message."""

import os
import shutil

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidModelError
from edgebig.graph.load import (
    all_nodes,
    describe_source,
    external_tensors,
    load_model,
    resolve_model,
    source_files,
    tensors,
)


def refused(path: object, message: str) -> None:
    with pytest.raises(InvalidModelError, match=message) as caught:
        load_model(path)  # type: ignore[arg-type]
    assert caught.value.exit_code == 1
    assert "Traceback" not in str(caught.value)


def test_a_good_file(inline_file) -> None:
    model = load_model(inline_file)
    assert [node.op_type for node in model.graph] == ["MatMul"]
    assert describe_source(model) == str(inline_file)
    assert source_files(model) == (inline_file,)
    assert resolve_model(model) is model


def test_external_weights_stay_on_disk(external_file) -> None:
    model = load_model(str(external_file))
    (tensor,) = external_tensors(model)
    assert isinstance(tensor, ir.ExternalTensor)
    assert tensor.raw is None  # not even mapped yet
    assert [path.name for path in source_files(model)] == ["gemm.onnx", "gemm.onnx.data"]
    np.testing.assert_array_equal(tensor.numpy().ravel()[:3], [0, 1, 2])


def test_missing(tmp_path) -> None:
    refused(tmp_path / "none.onnx", "there is no file .*none.onnx")


def test_a_folder(tmp_path) -> None:
    refused(tmp_path, "is a folder. Give the .onnx file in it")


def test_empty(tmp_path) -> None:
    (tmp_path / "empty.onnx").touch()
    refused(tmp_path / "empty.onnx", "is empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(inline_file) -> None:
    inline_file.chmod(0)
    refused(inline_file, "cannot be read: Permission denied")


@pytest.mark.parametrize("content", ["hello, I am no model\n" * 50, "{}", "\n", "ir_version: 8"])
def test_text(tmp_path, content: str) -> None:
    path = tmp_path / "text.onnx"
    path.write_text(content)
    refused(path, "not a readable ONNX file|holds no ONNX graph")


def test_other_binary_formats(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    shutil.move(tmp_path / "a.npz", tmp_path / "a.onnx")
    refused(tmp_path / "a.onnx", "not a readable ONNX file|holds no ONNX graph")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_anywhere(inline_file, share: float) -> None:
    content = inline_file.read_bytes()
    inline_file.write_bytes(content[: int(len(content) * share)])
    refused(inline_file, "gemm.onnx")


@pytest.mark.parametrize("seed", range(30))
def test_random_damage_never_escapes_as_another_error(inline_file, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(inline_file.read_bytes())
    for place in rng.integers(0, min(len(content), 400), 8):
        content[place] = int(rng.integers(0, 256))
    inline_file.write_bytes(bytes(content))
    try:
        model = load_model(inline_file)
    except InvalidModelError:
        return
    assert isinstance(model, ir.Model)


def test_external_data_missing(external_file) -> None:
    (external_file.parent / "gemm.onnx.data").unlink()
    refused(external_file, "external data 'gemm.onnx.data' of tensor 'w' is missing. Copy it beside the model")


def test_external_data_truncated(external_file) -> None:
    data = external_file.parent / "gemm.onnx.data"
    data.write_bytes(data.read_bytes()[:5000])
    refused(external_file, "needs 9600 bytes up to byte 9600, the file has 5000: truncated")


@pytest.mark.parametrize("location", ["../secret.data", "sub/../../secret.data", "..", "/etc/passwd", "/secret.data"])
def test_external_data_outside_by_its_name(external_file, respell, location: str) -> None:
    (external_file.parent.parent / "secret.data").write_bytes(bytes(9600))
    respell(external_file, location=location)
    refused(external_file, "points outside the model's folder")


def test_external_data_outside_by_a_link(external_file) -> None:
    data = external_file.parent / "gemm.onnx.data"
    secret = external_file.parent.parent / "secret.data"
    shutil.move(data, secret)
    data.symlink_to(secret)
    refused(external_file, "is a link to outside the model's folder")


def test_external_data_through_a_linked_folder(external_file, respell, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(external_file.parent / "gemm.onnx.data", outside / "w.data")
    (external_file.parent / "inner").symlink_to(outside)
    respell(external_file, location="inner/w.data")
    refused(external_file, "is a link to outside the model's folder")


def test_a_link_inside_the_folder_is_fine(external_file) -> None:
    data = external_file.parent / "gemm.onnx.data"
    shutil.move(data, external_file.parent / "blob")
    data.symlink_to("blob")
    assert load_model(external_file).graph.initializers["w"].const_value.numpy().shape == (8, 300)


def test_external_data_with_a_second_hard_link(external_file) -> None:
    os.link(external_file.parent / "gemm.onnx.data", external_file.parent / "other")
    refused(external_file, "several hard links. Put a copy")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": 1 << 62}, "needs 9600 bytes"),
        ({"offset": -8}, "needs 9600 bytes|not a readable"),
        ({"offset": "zero"}, "not a readable ONNX file"),
        ({"length": 16}, "needs 9600 bytes"),
        ({"length": 1 << 62}, "needs 9600 bytes"),
        ({"location": ""}, "is missing|external data"),
        ({"location": "a\0b"}, "is missing"),
        ({"location": "x" * 5000}, "File name too long"),
    ],
)
def test_hostile_entries(external_file, respell, entries: dict, message: str) -> None:
    respell(external_file, **entries)
    refused(external_file, message)


@pytest.mark.parametrize("dims", [[1 << 40, 1 << 40], [-8, 300], [1 << 62], [8, 301]])
@pytest.mark.parametrize("external", [False, True])
def test_hostile_sizes(inline_file, external_file, dims: list[int], external: bool) -> None:
    path = external_file if external else inline_file
    model = onnx.load(path, load_external_data=False)
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    path.write_bytes(model.SerializeToString())
    refused(path, "tensor 'w'")


@pytest.mark.parametrize("data_type", [0, 999])
def test_unknown_dtypes(inline_file, data_type: int) -> None:
    model = onnx.load(inline_file)
    model.graph.initializer[0].data_type = data_type
    inline_file.write_bytes(model.SerializeToString())
    refused(inline_file, "gemm.onnx")


def test_an_operator_of_an_unknown_domain(proto, tmp_path) -> None:
    path = tmp_path / "custom.onnx"
    onnx.save(proto("g (float[N] x) => (float[N] y) { y = com.example.Magic(x) }", domains=', "com.example": 1'), path)
    refused(path, "uses the operator 'Magic' of domain 'com.example'.*standard operators")


def test_an_unknown_operator_inside_a_branch_and_a_function(proto, tmp_path) -> None:
    path = tmp_path / "inner.onnx"
    branch = """g (float[N] x, bool q) => (float[N] y) { y = If(q) <
        then_branch = t () => (float[N] p) { p = Magic(x) }, else_branch = e () => (float[N] n) { n = Neg(x) } > }"""
    onnx.save(proto(branch), path)
    refused(path, "'Magic' of domain 'ai.onnx'")
    function = """g (float[N] x) => (float[N] y) { y = my.f(x) }
        <domain: "my", opset_import: ["": 18]> f (a) => (b) { b = Magic(a) }"""
    onnx.save(proto(function, domains=', "my": 1'), path)
    refused(path, "'Magic' of domain 'ai.onnx'")


def test_functions_and_contributed_operators_are_known(proto, tmp_path) -> None:
    path = tmp_path / "known.onnx"
    text = """g (float[N] x) => (float[N] y) { z = my.f(x) y = com.microsoft.Gelu(z) }
        <domain: "my", opset_import: ["": 18]> f (a) => (b) { b = Neg(a) }"""
    pytest.importorskip("onnxruntime")
    onnx.save(proto(text, domains=', "my": 1, "com.microsoft": 1'), path)
    assert [node.op_type for node in all_nodes(load_model(path))] == ["f", "Gelu", "Neg"]


def test_a_value_that_nothing_defines(proto, tmp_path) -> None:
    path = tmp_path / "dangling.onnx"
    onnx.save(proto("g (float[N] x) => (float[N] y) { y = Add(x, nowhere) }"), path)
    refused(path, "reads the value 'nowhere', which nothing defines")


def test_sparse_initializers(proto, tmp_path) -> None:
    model = proto("g (float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }")
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "i")
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [4, 4]))
    onnx.save(model, tmp_path / "sparse.onnx")
    refused(tmp_path / "sparse.onnx", "sparse initializers")


def test_a_graph_without_outputs(proto, tmp_path) -> None:
    model = proto("g (float[N] x) => (float[N] y) { y = Neg(x) }")
    del model.graph.output[:]
    onnx.save(model, tmp_path / "none.onnx")
    refused(tmp_path / "none.onnx", "no ONNX graph with outputs")


def test_tensors_are_found_everywhere(build) -> None:
    text = """g (float[N] x, bool q) => (float[N] y) {
        a = my.f(x)
        y = If(q) <
            then_branch = t () => (float[N] p) { c = Constant<value = float[2] {1.0, 2.0}>() p = Add(a, c) },
            else_branch = e () => (float[N] n) { n = Neg(a) }
        > }
        <domain: "my", opset_import: ["": 18]> f (a) => (b) { k = Constant<value = float[1] {3.0}>() b = Add(a, k) }"""
    model = build(text, domains=', "my": 1', w=np.zeros(5, np.float32))
    assert sorted(tensor.size for tensor in tensors(model)) == [1, 2, 5]
