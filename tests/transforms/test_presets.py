import pytest
import torch

from cnnkit import FashionMNISTSample
from cnnkit.transforms import Augment, Counter, Normalize, build_preset
from cnnkit.transforms.presets import PRESETS, spell_out


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_presets_work_on_gray_and_color(name, channels):
    images = torch.randint(0, 256, (8, channels, 40, 40), dtype=torch.uint8)
    augment = Augment(build_preset(name), Normalize([0.5] * channels, [0.25] * channels))
    augment.set_size((32, 32))
    outputs = [augment(images, torch.arange(8), Counter(0, e, torch.arange(8)), 0, 8)[0] for e in (0, 1, 0)]
    assert outputs[0].shape == (8, channels, 32, 32)
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


def test_a_data_module_takes_a_presets_name():
    found = [repr(transform) for transform in FashionMNISTSample(augment="strong").augmentation.transforms]
    assert found == [repr(transform) for transform in build_preset("strong")]
    with pytest.raises(ValueError, match="augment is 'stong': it takes a list of transforms or a preset; did you mean"):
        FashionMNISTSample(augment="stong")


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_spelled_out_is_what_is_built(name):
    spelled = [(part["class_path"], part["init_args"]) for part in spell_out(name)]
    for (kind, arguments), transform in zip(spelled, build_preset(name), strict=True):
        assert type(transform).__name__ == kind
        assert all(getattr(transform, key) == value for key, value in arguments.items())
