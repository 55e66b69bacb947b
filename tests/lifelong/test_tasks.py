"""Tasks that are made of a data set, and what is remembered of earlier ones."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samnesia.data.digits import digits
from samnesia.data.problem import Problem, TensorSplit
from samnesia.data.tasks import Chosen, Joined, balanced, by_classes, by_order, joined, labels_of, reservoir
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import Balanced, ByClasses, Digits, Permuted, Reservoir, Task

SPLITS = ("train", "validation", "test")


def whole(split, epoch=None):
    return split.batch(range(len(split)), epoch)


@pytest.mark.parametrize("count", [1, 2, 5, 10])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shuffled", [None, 3])
def test_classes_are_divided_and_every_sample_is_in_one_task(count, known, shuffled):
    problem = digits(0)
    tasks = by_classes(problem, count, seed=shuffled, known=known)
    assert len(tasks) == count
    assert {task.num_outputs for task in tasks} == {10 // count if known else 10}
    for name in SPLITS:
        base = getattr(problem, name)
        numbers = [getattr(task, name).numbers for task in tasks]
        assert torch.cat(numbers).sort().values.tolist() == list(range(len(base)))
        seen = [set(base.labels[own].tolist()) for own in numbers]
        assert [len(own) for own in seen] == [10 // count] * count and set.union(*seen) == set(range(10))
        for head, (task, own) in enumerate(zip(tasks, numbers, strict=True)):
            inputs, labels = whole(getattr(task, name))
            assert torch.equal(labels, getattr(task, name).labels)
            images, true = base.batch(own.tolist())
            if known:
                inputs, heads = inputs
                assert heads.tolist() == [head] * len(own)
                classes = true.unique() if shuffled is None else None
                assert labels.unique().tolist() == list(range(10 // count))
                assert classes is None or torch.equal(classes[labels], true)
            else:
                assert torch.equal(labels, true)
            assert torch.equal(inputs, images)


def test_which_classes_are_together_is_drawn_by_seed_where_it_is_wanted():
    def classes(seed):
        return [task.train.labels.unique().tolist() for task in by_classes(digits(0), 5, seed=seed, known=False)]

    assert classes(None) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert classes(1) == classes(1) != classes(2)


@pytest.mark.parametrize("known", [True, False])
def test_pixels_are_permuted_alike_in_all_samples_of_a_task_and_fixed_by_seed(known):
    problem = digits(0)

    def images(seed, name="test"):
        tasks = by_order(problem, 3, seed=seed, known=known)
        found = [whole(getattr(task, name))[0] for task in tasks]
        return [inputs[0] if known else inputs for inputs in found]

    first, second, third = images(0)
    plain = whole(problem.test)[0]
    assert torch.equal(first, plain)
    assert torch.equal(second.flatten(1).sort(1).values, plain.flatten(1).sort(1).values)
    assert not torch.equal(second, plain) and not torch.equal(second, third)
    assert torch.equal(images(0)[1], second) and not torch.equal(images(1)[1], second)
    # the order, read off pixels that differ in all samples, is that of the training images as well
    order = [(plain.flatten(1) == column[:, None]).all(0).int().argmax() for column in second.flatten(1).T]
    train, plain_train = images(0, "train")[1], whole(problem.train)[0]
    live = [place for place in range(64) if plain.flatten(1)[:, order[place]].std() > 0]
    assert len(live) > 40
    assert torch.equal(train.flatten(1)[:, live], plain_train.flatten(1)[:, torch.stack(order)[live]])


def test_images_of_several_channels_keep_their_colours_together():
    images = torch.arange(2 * 3 * 4.0).view(2, 3, 2, 2)
    split = TensorSplit(images, torch.tensor([0, 1]))
    task = by_order(Problem(split, None, None, 2, (3, 2, 2)), 2, seed=1, known=False)[1]
    moved = whole(task.train)[0].flatten(2)
    order = [images.flatten(2)[0, 0].tolist().index(value) for value in moved[0, 0].tolist()]
    assert order != [0, 1, 2, 3] and torch.equal(moved, images.flatten(2)[..., order])


def test_augmentation_is_that_of_the_data_set():
    problem = digits(4, shift=2)
    task = by_classes(problem, 5, seed=None, known=False)[2]
    numbers = task.train.numbers[[5, 0, 9]]
    assert torch.equal(task.train.batch([5, 0, 9], 3)[0], problem.train.batch(numbers.tolist(), 3)[0])
    assert not torch.equal(task.train.batch([5, 0, 9], 3)[0], task.train.batch([5, 0, 9], 4)[0])


def test_wrong_labels_decide_the_task_and_true_ones_of_others_are_none_of_its_classes():
    tasks = by_classes(digits(0, flipped=0.4), 5, seed=None, known=True)
    for task in tasks:
        assert set(task.train.labels.tolist()) == {0, 1}
        assert set(task.train.clean_labels.tolist()) == {-1, 0, 1}


@given(st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_joined_splits_give_samples_in_the_order_they_were_asked_for(indices):
    parts = [TensorSplit(torch.arange(4.0)[:, None], torch.arange(4)), TensorSplit(torch.arange(4.0, 12.0)[:, None],
             torch.arange(4, 12))]  # fmt: skip
    inputs, labels = Joined(parts).batch(indices)
    assert labels.tolist() == indices and inputs.flatten().tolist() == [float(index) for index in indices]


def test_all_tasks_together_have_all_samples():
    problem = digits(0)
    for known in (True, False):
        together = joined(by_classes(problem, 5, seed=None, known=known))
        assert [len(getattr(together, name)) for name in SPLITS] == [len(getattr(problem, name)) for name in SPLITS]
    assert sorted(together.test.labels.tolist()) == sorted(problem.test.labels.tolist())


class Broken(TensorSplit):
    """Leaves out a sample."""

    damaged = {2}

    def batch(self, indices, epoch=None):
        return super().batch([index for index in indices if index != 2], epoch)


def test_damaged_samples_are_left_out_under_their_new_numbers():
    broken = Broken(torch.arange(4.0)[:, None], torch.tensor([0, 1, 1, 0]))
    chosen = Chosen(broken, torch.tensor([1, 2, 3]))
    both = Joined([TensorSplit(torch.tensor([[9.0]]), torch.tensor([0])), chosen])
    assert chosen.damaged == {1} and both.damaged == {2}
    assert both.batch([3, 2, 0, 1])[0].flatten().tolist() == [3.0, 9.0, 1.0]


# What is remembered.


def test_a_reservoir_keeps_every_sample_with_the_same_probability():
    counts, size, draws = [12, 5, 8], 6, 2000
    kept = torch.zeros(sum(counts))
    for seed in range(draws):
        chosen = reservoir(counts, size, seed=seed)
        assert sum(len(own) for own in chosen) == size
        for start, own in zip((0, 12, 17), chosen, strict=True):
            kept[[start + number for number in own]] += 1
    share = size / sum(counts)
    spread = (draws * share * (1 - share)) ** 0.5
    assert (kept - draws * share).abs().max() < 4.5 * spread  # of 25 samples


def test_a_reservoir_is_what_it_was_with_later_tasks_added():
    before, after = reservoir([50, 50], 20, seed=1), reservoir([50, 50, 50], 20, seed=1)
    assert all(set(late) <= set(early) for late, early in zip(after[:2], before, strict=True)) and after[2]
    assert reservoir([3, 4], 20, seed=0) == [[0, 1, 2], [0, 1, 2, 3]]  # there is room for all


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 40), st.integers(0, 5))
def test_a_balanced_memory_has_as_many_of_each_class_and_keeps_what_it_had(sizes, slots, seed):
    labels = [torch.arange(size) % 3 for size in sizes]
    kept = balanced(labels, slots, seed=seed)
    classes = sum(len(own.unique()) for own in labels)
    counts = [int((own[numbers] == label).sum())
              for own, numbers in zip(labels, kept, strict=True) for label in own.unique()]  # fmt: skip
    there = [int((own == label).sum()) for own in labels for label in own.unique()]
    assert sum(counts) <= slots
    for count, most in zip(counts, there, strict=True):
        assert min(most, slots // classes) <= count <= min(most, slots // classes + 1)
    earlier = balanced(labels[:-1], slots, seed=seed)
    assert all(set(late) <= set(early) for late, early in zip(kept, earlier, strict=False))


@pytest.mark.parametrize("memory", [Reservoir(30, times=2), Balanced(30, times=2)])
@pytest.mark.parametrize("known", [True, False])
def test_what_is_remembered_joins_the_task_as_it_was_in_its_own(memory, known):
    part = Task(Digits(train=400), ByClasses(5), number=3, known=known, memory=memory)
    task, alone = part.load(0), replace(part, memory=None).load(0)
    assert len(task.train) == len(alone.train) + 2 * 30
    assert len(task.test) == len(alone.test)
    inputs, labels = whole(task.train)
    own, _ = whole(alone.train)
    if known:
        (inputs, heads), (own, _) = inputs, own
        assert set(heads[: len(alone.train)].tolist()) == {3} and set(heads[len(alone.train) :].tolist()) == {0, 1, 2}
        labels = 2 * heads + labels
    assert torch.equal(inputs[: len(alone.train)], own)
    images, true = whole(Digits(train=400).load(0).train)
    for image, label in zip(inputs[len(alone.train) :], labels[len(alone.train) :], strict=True):
        (same,) = (images == image).flatten(1).all(1).nonzero().flatten().tolist()
        assert true[same] == label and label < 6


def test_the_seed_of_data_may_be_another_than_that_of_the_run():
    part = Task(Digits(), ByClasses(5), number=1)
    assert torch.equal(whole(replace(part, seed=3).load(8).test)[0], whole(part.load(3).test)[0])


def test_what_data_are_is_said():
    assert "5 tasks of other classes, of them number 2" in Task(number=2).says
    assert "2 tasks of permuted pixels, all together" in Task(tasks=Permuted(2), number=None).says


REFUSED = {
    "classes that do not divide": (lambda: by_classes(digits(0), 3, seed=None, known=True), "use one of 1, 2, 5, 10"),
    "no tasks": (lambda: by_order(digits(0), 0, seed=0, known=True), "cannot make 0 tasks"),
    "no such task": (lambda: Task(number=5), "cannot train task 5 of 5"),
    "tasks of none": (lambda: ByClasses(0), "cannot make 0 tasks"),
    "an empty memory": (lambda: Reservoir(0), "cannot replay with size 0"),
    "never": (lambda: Balanced(times=0), "cannot replay with times 0"),
    "a class without samples": (
        lambda: by_classes(
            Problem(TensorSplit(torch.zeros(2, 1), torch.tensor([0, 0])), None, None, 2, (1,)), 2, seed=None, known=True
        ),
        "cannot make a task of the classes 1",
    ),
    "no classes": (lambda: labels_of(TensorSplit(torch.zeros(2, 1), torch.zeros(2))), "cannot make tasks of a Tensor"),
    "no pixels": (
        lambda: whole(
            by_order(
                Problem(TensorSplit(torch.zeros(2, 3, 4), torch.tensor([0, 1])), None, None, 2, (3, 5)), 2, seed=0,
                known=False,
            )[1].train
        ),
        "cannot permute the pixels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_tasks_is_refused_in_a_sentence(case):
    act, words = REFUSED[case]
    with pytest.raises(ConfigurationError, match=words):
        act()


def test_mixing_across_heads_is_refused():
    problem = replace(digits(0), mix=lambda x, y, epoch, indices: (x, y))
    with pytest.raises(ConfigurationError, match="cannot mix samples of tasks that are known"):
        by_classes(problem, 5, seed=None, known=True)
    assert by_classes(problem, 5, seed=None, known=False)[0].mix is problem.mix
