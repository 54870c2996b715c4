"""The losses that training minimises: those of classification, of contrast and of distillation.

Everything is a function of tensors, or a module with the parameters that belong to the loss and not
to the network. Logits of half precision are widened first: a loss is a sum over many. Sources:

- COLA: A. Saeed, D. Grangier, N. Zeghidour, "Contrastive learning of general-purpose audio
  representations" (ICASSP 2021), and P. Alonso-Jimenez, X. Serra, D. Bogdanov, "Music
  representation learning based on editorial metadata from Discogs" (ISMIR 2022), chapter 4 of
  Alonso-Jimenez' thesis (2024).
- NT-Xent: T. Chen et al., "A simple framework for contrastive learning of visual representations"
  (ICML 2020).
- Distillation: G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network"
  (2015); A. Romero et al., "FitNets" (ICLR 2015); H. Touvron et al., "Training data-efficient image
  transformers & distillation through attention" (DeiT, ICML 2021); chapter 6 of the thesis (MAEST).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.errors import TrainingError

MULTITASK_WEIGHTS: Final[Mapping[str, float]] = {
    "track": 0.1,
    "release": 0.15,
    "artist": 0.6,
    "label": 0.15,
}
"""Weights of the associations in the loss of the multi-task model (thesis, section 4.3.6)."""

TEACHER_THRESHOLD: Final = 0.45
"""Activation above which a teacher of MAEST labels a class as present."""


# -- classification --------------------------------------------------------------------------------


def multi_label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Multi-label soft margin: the mean over classes, and segments, of binary cross entropy.

    Args:
        logits: (batch, classes), before the sigmoid.
        targets: The same shape, from 0 to 1: labels, mixed labels, or a teacher's activations.

    Returns:
        A scalar.

    Raises:
        TrainingError: The shapes differ.
    """
    _check_same("multi_label_loss", logits, targets)
    logits = _wide(logits)
    return functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))


# -- contrast --------------------------------------------------------------------------------------


class Projection(nn.Sequential):
    """From an embedding to where embeddings are compared (COLA).

    It is a linear layer, layer normalisation, and tanh.

    Args:
        n_inputs: Values of an embedding.
        width: Values of a projection.
    """

    def __init__(self, n_inputs: int, width: int = 512) -> None:
        # The published code, in Keras, has that library's epsilon of 1e-3; the thesis names none.
        super().__init__(nn.Linear(n_inputs, width), nn.LayerNorm(width, eps=1e-3), nn.Tanh())


class BilinearSimilarity(nn.Module):
    """How alike projections are: `a^T W p`, with W learned; no temperature (COLA, section 2).

    W starts as COLA's published code has it: normal, standard deviation 0.05.

    Args:
        width: Values of a projection.
    """

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width).normal_(std=0.05))

    def forward(self, anchors: Tensor, positives: Tensor) -> Tensor:
        """Similarity of each anchor to each positive.

        Args:
            anchors: (n, width).
            positives: (m, width).

        Returns:
            (n, m).
        """
        return anchors @ self.weight @ positives.T


def contrastive_loss(similarity: Tensor, alike: Tensor | None = None) -> Tensor:
    """Mean cross entropy of finding each anchor's own positive among those of the batch.

    Rows only, so it is not symmetric in anchors and positives. Negatives are those of this process:
    over several, gradients are averaged and negatives are not shared (thesis, section 4.3.2). Our
    deviation is `alike`: in the papers' millions of tracks two pairs of a batch hardly ever belong
    together, in a small collection they do all the time.

    Args:
        similarity: (n, n); a row an anchor, a column a positive, pairs on the diagonal.
        alike: (n, n), boolean: positives that belong to the anchor as its own does, so they
            are not negatives.

    Returns:
        A scalar; ln(n), if all are equally similar and none are alike.

    Raises:
        TrainingError: It is not square.
    """
    _check_square("contrastive_loss", similarity)
    own = torch.arange(len(similarity), device=similarity.device)
    return functional.cross_entropy(_negatives(_wide(similarity), alike), own)


def top1_accuracy(similarity: Tensor, alike: Tensor | None = None) -> Tensor:
    """Share of the anchors to which their own positive is the most similar; chance is 1/n.

    Of several equally similar ones the first counts.

    Args:
        similarity: (n, n), as for `contrastive_loss`.
        alike: (n, n) boolean, as for `contrastive_loss`.

    Raises:
        TrainingError: It is not square.
    """
    _check_square("top1_accuracy", similarity)
    own = torch.arange(len(similarity), device=similarity.device)
    return (_negatives(similarity, alike).argmax(1) == own).float().mean()


def _negatives(similarity: Tensor, alike: Tensor | None) -> Tensor:
    """Mask the entries that are not negatives."""
    if alike is None:
        return similarity
    others = ~torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    return similarity.masked_fill(alike & others, -torch.inf)


def nt_xent(x: Tensor, y: Tensor, temperature: float = 0.1) -> Tensor:
    """Normalised, temperature-scaled cross entropy over both sides of pairs (NT-Xent, equation 1).

    Each of the 2n embeddings has its partner to find among the 2n - 1 others, by cosine.

    Args:
        x: (n, width); its row `i` and that of `y` are a pair.
        y: The same shape.
        temperature: Positive; divides the cosines.

    Returns:
        A scalar; ln(2n - 1), if all are equally similar.

    Raises:
        TrainingError: The shapes differ, or the temperature is not positive.
    """
    _check_same("nt_xent", x, y)
    _check_temperature("nt_xent", temperature)
    n = len(x)
    z = functional.normalize(_wide(torch.cat((x, y))), dim=1)
    scaled = z @ z.T / temperature
    scaled = scaled.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -torch.inf)
    partner = torch.arange(2 * n, device=z.device).roll(n)
    own = scaled.gather(1, partner[:, None])[:, 0]
    return (scaled.logsumexp(1) - own).mean()


def multitask_loss(
    losses: Mapping[str, Tensor], weights: Mapping[str, float] = MULTITASK_WEIGHTS
) -> Tensor:
    """The weighted sum of the losses of several associations.

    Args:
        losses: Loss by association, each of shape ().
        weights: Weight by association.

    Raises:
        TrainingError: Losses and weights are not of the same associations.
    """
    if set(losses) != set(weights):
        raise TrainingError(
            f"multitask_loss: losses of {sorted(losses)}, weights of {sorted(weights)}"
        )
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


# -- distillation ----------------------------------------------------------------------------------


def soften(activations: Tensor, temperature: float) -> Tensor:
    """What sigmoid activations would be, had their logits been divided by a temperature.

    A sigmoid is the softmax over two classes, "there" with the logit z and "not there" with 0; a
    temperature divides both (Hinton et al., section 2), which leaves sigmoid(z / T). From
    activations p alone this is p^(1/T) / (p^(1/T) + (1-p)^(1/T)), which also holds at 0 and 1,
    where the logit is infinite.

    Args:
        activations: Any shape, from 0 to 1.
        temperature: Positive; above 1 it moves them towards a half.

    Raises:
        TrainingError: The temperature is not positive.
    """
    _check_temperature("soften", temperature)
    there, absent = activations ** (1 / temperature), (1 - activations) ** (1 / temperature)
    return there / (there + absent)


def activation_loss(logits: Tensor, activations: Tensor, temperature: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence of a student's activations from a teacher's, class by class.

    Its gradient is that of binary cross entropy with the softened activations as targets, but it is
    0 where both agree. As in Hinton et al. (section 2) both sides are softened and the result is
    multiplied by T^2, so gradients keep their size when the temperature is changed.

    Args:
        logits: (batch, classes), of the student, before the sigmoid.
        activations: The teacher's, the same shape, from 0 to 1.
        temperature: Positive.

    Returns:
        A scalar: the mean over segments and classes.

    Raises:
        TrainingError: The shapes differ, or the temperature is not positive.
    """
    _check_same("activation_loss", logits, activations)
    logits = _wide(logits)
    soft = soften(activations.to(logits.dtype), temperature)
    entropy = -(torch.xlogy(soft, soft) + torch.xlogy(1 - soft, 1 - soft)).mean()
    crossed = functional.binary_cross_entropy_with_logits(logits / temperature, soft)
    return temperature**2 * (crossed - entropy)


class EmbeddingLoss(nn.Module):
    """Distance of a student's embedding, mapped linearly, from a teacher's (FitNets, equation 3).

    The map is there because the two have other sizes and axes; it is not part of the student. "mse"
    is the mean square over values, FitNets' but for its factor; "cosine" is one minus the cosine,
    which leaves the lengths of embeddings free.

    Args:
        student: Values of the student's embedding.
        teacher: Values of the teacher's embedding.
        distance: Distance to use.
    """

    def __init__(
        self, student: int, teacher: int, distance: Literal["cosine", "mse"] = "cosine"
    ) -> None:
        super().__init__()
        self.map = nn.Linear(student, teacher)
        self.distance = distance

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The mean over a batch, a scalar.

        Args:
            student: (batch, values of the student's embedding).
            teacher: (batch, values of the teacher's).

        Raises:
            TrainingError: The teacher's are of another shape.
        """
        mapped = _wide(self.map(student))
        _check_same("EmbeddingLoss", mapped, teacher)
        if self.distance == "mse":
            return functional.mse_loss(mapped, teacher.to(mapped.dtype))
        return (1 - functional.cosine_similarity(mapped, teacher.to(mapped.dtype))).mean()


def deit_loss(
    cls_logits: Tensor,
    dist_logits: Tensor,
    targets: Tensor,
    teacher_logits: Tensor,
    kind: Literal["hard", "soft"] = "hard",
    alpha: float = 0.5,
    temperature: float = 1.0,
) -> Tensor:
    """DeiT's loss of a network with a class token and a distillation token, one class a segment.

    The class token learns from labels, the distillation token from the teacher: "hard", its best
    class; "soft", its softened probabilities. The soft part is divided by batch *and* classes, as
    in DeiT's code and unlike Hinton's, so it is small beside the other.

    Args:
        cls_logits: (batch, classes).
        dist_logits: The same shape.
        targets: (batch,) int64 classes, or (batch, classes) of parts that sum to 1, as mixup leaves
            them.
        teacher_logits: (batch, classes).
        kind: Form of the teacher's target, "hard" or "soft".
        alpha: Share of the teacher in the loss, from 0 to 1.
        temperature: Positive; for "soft" only.

    Returns:
        A scalar.

    Raises:
        TrainingError: The shapes differ, `alpha` is out of range, or the temperature is not
            positive.
    """
    _check_same("deit_loss", cls_logits, dist_logits)
    _check_same("deit_loss", dist_logits, teacher_logits)
    _check_temperature("deit_loss", temperature)
    if not 0 <= alpha <= 1:
        raise TrainingError(f"deit_loss: alpha={alpha} must be from 0 to 1")
    cls_logits, dist_logits, teacher_logits = map(_wide, (cls_logits, dist_logits, teacher_logits))
    labelled = functional.cross_entropy(cls_logits, targets)
    if kind == "hard":
        taught = functional.cross_entropy(dist_logits, teacher_logits.argmax(1))
    else:
        divergence = functional.kl_div(
            functional.log_softmax(dist_logits / temperature, 1),
            functional.log_softmax(teacher_logits / temperature, 1),
            reduction="sum",
            log_target=True,
        )
        taught = temperature**2 * divergence / dist_logits.numel()
    return (1 - alpha) * labelled + alpha * taught


def teacher_labels(activations: Tensor, threshold: float = TEACHER_THRESHOLD) -> Tensor:
    """Labels that a teacher gives: classes above the threshold; the strongest, if none is (MAEST).

    Args:
        activations: (batch, classes), from 0 to 1.
        threshold: Exclusive lower bound of an activation that counts.

    Returns:
        The same shape and dtype, zeros and ones; at least one in each row.
    """
    above = activations > threshold
    strongest = functional.one_hot(activations.argmax(1), activations.shape[1]).bool()
    return torch.where(above.any(1, keepdim=True), above, strongest).to(activations.dtype)


def teacher_student_loss(
    cls_logits: Tensor, dist_logits: Tensor, targets: Tensor, labels: Tensor
) -> Tensor:
    """MAEST's loss with a teacher: the mean of two multi-label losses, a token each.

    Args:
        cls_logits: (batch, classes), of the class token, for which `targets` are.
        dist_logits: Logits of the distillation token, whose targets are `labels`.
        targets: (batch, classes), from 0 to 1.
        labels: From `teacher_labels`; mixed, where `targets` are, in the same way.

    Raises:
        TrainingError: The shapes differ.
    """
    return (multi_label_loss(cls_logits, targets) + multi_label_loss(dist_logits, labels)) / 2


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_same(where: str, one: Tensor, other: Tensor) -> None:
    # Torch would broadcast some of these without a word.
    if one.shape != other.shape:
        raise TrainingError(
            f"{where}: shapes {tuple(one.shape)} and {tuple(other.shape)} must be the same"
        )


def _check_square(where: str, similarity: Tensor) -> None:
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise TrainingError(
            f"{where}: similarity of shape {tuple(similarity.shape)} must be square"
        )


def _check_temperature(where: str, temperature: float) -> None:
    if not temperature > 0:
        raise TrainingError(f"{where}: temperature={temperature} must be positive")
