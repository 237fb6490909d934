"""What Prometheus evaluates for each signal. Every function takes a rule and returns PromQL that is
true where the rule is broken."""

from datetime import timedelta

from app.alerts.rule import Rule, written


def accuracy(rule: Rule) -> str:
    return _right(rule, 'source!="review"')


def unseen_accuracy(rule: Rule) -> str:
    return _right(rule, 'source="random_review"')


def _right(rule: Rule, of: str) -> str:
    labels = _increase("labels_total", rule, of)
    right = _increase("labels_total", rule, 'right="true"', of)
    # Where no answer was right, that series does not exist.
    share = f"({right} or {labels} * 0) / {labels}"
    return _broken(share, rule, f"{labels} >= {rule.at_least}")


def response_time(rule: Rule) -> str:
    seconds = _quantile("classification_seconds", rule, "domain, ")
    count = _increase("classification_seconds_count", rule)
    return _broken(seconds, rule, f"{count} >= {rule.at_least}")


def error_rate(rule: Rule) -> str:
    results = _increase("results_total", rule)
    failed = _increase("results_total", rule, 'status="failed"')
    unanswered = _increase("unanswered_total", rule)
    # Where a domain has had none of a kind, that series does not exist.
    pictures = f"(({results} or {unanswered} * 0) + ({unanswered} or {results} * 0))"
    without = f"(({failed} or {pictures} * 0) + ({unanswered} or {pictures} * 0))"
    return _broken(f"{without} / {pictures}", rule, f"{pictures} >= {rule.at_least}")


def queue_wait(rule: Rule) -> str:
    seconds = _quantile("stage_seconds", rule, "", 'stage="wait"')
    results = f"sum(increase(classifier_results_total[{_window(rule)}]))"
    return _broken(seconds, rule, f"{results} >= {rule.at_least}")


def drift(rule: Rule) -> str:
    # The gauge is set by the process that evaluates the rule, given at_least as many samples.
    return _broken(f"max by (domain) ({_series('drift', rule)})", rule)


def cost_per_day(rule: Rule) -> str:
    return _broken("sum(increase(classifier_cost_usd_total[24h]))", rule)


def unhealthy(rule: Rule) -> str:
    return _broken("count by (check) (classifier_check_up == 0)", rule)


def breaker_open(rule: Rule) -> str:
    state = 'classifier_deployment_breaker{state=~"open|half_open"}'
    return _broken(f"sum by (provider, deployment) ({state})", rule)


def webhook_disabled(rule: Rule) -> str:
    return _broken("sum(increase(classifier_webhooks_disabled_total[1h]))", rule)


def lesson_refused(rule: Rule) -> str:
    return _broken(f"max by (domain) ({_series('examples_set_aside', rule)})", rule)


def _broken(value: str, rule: Rule, enough: str | None = None) -> str:
    sign = ">" if rule.side == "above" else "<"
    threshold = repr(rule.threshold).removesuffix(".0")  # to its last digit
    broken = f"{value} {sign} {threshold}"
    return broken if enough is None else f"({broken}) and ({enough})"


def _increase(metric: str, rule: Rule, *matchers: str) -> str:
    return f"sum by (domain) (increase({_series(metric, rule, *matchers)}[{_window(rule)}]))"


def _quantile(metric: str, rule: Rule, by: str, *matchers: str) -> str:
    buckets = f"rate({_series(f'{metric}_bucket', rule, *matchers)}[{_window(rule)}])"
    return f"histogram_quantile(0.95, sum by ({by}le) ({buckets}))"


def _series(metric: str, rule: Rule, *matchers: str) -> str:
    found = list(matchers)
    if rule.domains:
        found.append(f'domain=~"{"|".join(sorted(rule.domains))}"')
    return f"classifier_{metric}{{{','.join(found)}}}" if found else f"classifier_{metric}"


def _window(rule: Rule) -> str:
    return written(rule.window or timedelta(minutes=5))
