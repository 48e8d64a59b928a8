"""Live share: the share of codes that vary at all.

Made up for this package: a representation that collapsed has few.

Shape suffixes: N points, J code dimensions.
"""

from contrafact.core.matrices import dead_codes
from contrafact.core.metric import ArrayLike, MetricInfo, MetricResult, check_codes, measured

INFO = MetricInfo(kind="static", low=0.0, high=1.0, higher_is_better=True, source="contrafact-example")


@measured
def live_share(codes: ArrayLike) -> MetricResult:
    """Share of codes that vary.

    Args:
        codes: ``(N, J)`` numbers.

    Returns:
        score in [0, 1], higher is better.

    Raises:
        ValueError: codes that are no matrix of finite numbers.
    """
    codes_NJ = check_codes(codes)
    live = ~dead_codes(codes_NJ)
    return MetricResult(score=float(live.mean()), protocol=f"live_share_n{len(codes_NJ)}", num_train=len(codes_NJ))
