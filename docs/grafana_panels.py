"""The content of the Grafana dashboard, row by row; docs/grafana.py converts it to Grafana's
format."""

from collections.abc import Mapping

from app.settings_groups import AlertThresholds
from docs.grafana_panel import (
    OF,
    OF_DOMAIN,
    Panel,
    Query,
    chart,
    figure,
    gauge,
    increase,
    named_by,
    quantile,
    rate,
    share,
    stack,
)

RESULTS = "classifier_results_total"
SECONDS = "classifier_classification_seconds"

THRESHOLDS = AlertThresholds()
LAST = "5m"
STORED = f"sum(rate({RESULTS}{{{OF_DOMAIN}}}[{LAST}]))"
FAILED = f'(sum(rate({RESULTS}{{{OF_DOMAIN},status="failed"}}[{LAST}])) or vector(0))'
UNANSWERED = f"(sum(rate(classifier_unanswered_total{{{OF_DOMAIN}}}[{LAST}])) or vector(0))"

ROWS: Mapping[str, tuple[Panel, ...]] = {
    "Now": (
        figure("Up", "Processes that Prometheus reaches.", "short", f"sum(up{{{OF}}})"),
        figure(
            "Down",
            "Processes that Prometheus knows of but does not reach.",
            "short",
            f"count(up{{{OF}}} == 0) or vector(0)",
            bad=1,
        ),
        figure(
            "Results per minute",
            "Over the last five minutes, including failed ones.",
            "short",
            f"{STORED} * 60",
        ),
        figure(
            "Failures",
            "Share of pictures without an answer, over the last five minutes.",
            "percentunit",
            f"({FAILED} + {UNANSWERED}) / (({STORED} + {UNANSWERED}) > 0)",
            bad=0.05,
        ),
        figure(
            "Time, p95",
            "95 of 100 results of the last five minutes took at most this long.",
            "s",
            quantile(0.95, SECONDS, of=OF_DOMAIN, window=LAST).expression + " >= 0",
            bad=THRESHOLDS.response_time,
        ),
        figure(
            "Waiting",
            "Calls that wait for quota.",
            "short",
            f"sum(classifier_waiting_calls{{{OF}}})",
        ),
        figure(
            "Cost, 24 hours",
            "Cost of calls whose price is known.",
            "currencyUSD",
            f"sum(increase(classifier_cost_usd_total{{{OF_DOMAIN}}}[24h])) or vector(0)",
        ),
        figure(
            "Alerts",
            "Firing alerts, as the service itself counts them: GET /alerts lists them. The red "
            "marks in the charts are alerts of Prometheus.",
            "short",
            f'sum(max by (rule, severity) (classifier_alerts{{{OF},state="firing"}})) or vector(0)',
            bad=1,
        ),
    ),
    "Quality": (
        chart(
            "Accuracy",
            "Share of right answers among those of the last 24 hours whose true class is known, "
            "without those reviewed because they were unsure. It jumps when there are few.",
            "percentunit",
            share("classifier_labels_total", 'right="true"', "24h", 'source!="review"'),
            bad=THRESHOLDS.accuracy,
        ),
        chart(
            "Accuracy unreviewed",
            "Share of right answers among the accepted ones that were drawn at random and reviewed "
            "in the last 7 days.",
            "percentunit",
            share("classifier_labels_total", 'right="true"', "7d", 'source="random_review"'),
            bad=0.9,
        ),
        chart(
            "Known classes",
            "Answers whose true class became known in the last 24 hours.",
            "short",
            increase("classifier_labels_total", "domain", "24h"),
        ),
        chart(
            "Needs review",
            "Share of the results of the last hour that need review.",
            "percentunit",
            share(RESULTS, 'status="needs_review"', "1h"),
        ),
        chart(
            "Drift",
            "How much the answers of the last day differ from the four weeks before, by class and "
            "by confidence: below 0.1 is little, above 0.25 is much.",
            "short",
            gauge("max", "classifier_drift", "domain, of", OF_DOMAIN),
            bad=0.25,
        ),
    ),
    "Speed": (
        chart(
            "Time of a result",
            "50, 95 and 99 of 100 results take at most this long. A dot is one of them, with its "
            "trace id.",
            "s",
            *(quantile(each, SECONDS, of=OF_DOMAIN) for each in (0.5, 0.95, 0.99)),
        ),
        *(
            chart(
                f"Time of a result by domain, p{100 * each:.0f}",
                f"{100 * each:.0f} of 100 results of the domain take at most this long.",
                "s",
                quantile(each, SECONDS, "domain", OF_DOMAIN),
            )
            for each in (0.5, 0.95, 0.99)
        ),
        stack(
            "Work by stage",
            "Pictures in each stage at the same time, on average: fetching, preparing, waiting for "
            "quota, the provider, storing. The stage that grows is the one that takes the time.",
            "short",
            rate("classifier_stage_seconds_sum", "stage"),
        ),
        chart(
            "Time of a stage, p95",
            "95 of 100 pictures spend at most this long in the stage.",
            "s",
            quantile(0.95, "classifier_stage_seconds", "stage"),
        ),
        chart(
            "Time of a request, p95",
            "95 of 100 HTTP requests of the route take at most this long.",
            "s",
            quantile(0.95, "classifier_http_request_seconds", "route"),
        ),
        chart(
            "Event loop lag, p99",
            "Delay of a process's event loop. Above 0.1 s, it is short of processor time.",
            "s",
            quantile(0.99, "classifier_event_loop_lag_seconds", "instance"),
        ),
    ),
    "Traffic": (
        stack("Results", "Per second, by outcome.", "reqps", rate(RESULTS, "status", OF_DOMAIN)),
        stack(
            "Failed results",
            "Per second, by kind of error: docs/errors.md.",
            "reqps",
            rate("classifier_failed_results_total", "kind", OF_DOMAIN),
        ),
        stack(
            "Requests",
            "HTTP requests per second, by status.",
            "reqps",
            rate("classifier_http_requests_total", "status"),
        ),
        stack(
            "Where answers come from",
            "Per second: asked from a provider, shared with a simultaneous request, or kept from "
            "an earlier one, which costs nothing.",
            "reqps",
            rate("classifier_answers_total", "how"),
        ),
        chart(
            "Quota left",
            "Share of a deployment's quota that is left, by the process that sees the least.",
            "percentunit",
            gauge("min", "classifier_deployment_quota_left_ratio", "deployment, dimension"),
        ),
        chart(
            "Wait for quota, p95",
            "95 of 100 calls wait at most this long. Requests go before batches.",
            "s",
            quantile(0.95, "classifier_admission_wait_seconds", "lane"),
        ),
        chart(
            "Calls under way",
            "By deployment.",
            "short",
            gauge("sum", "classifier_deployment_calls_in_flight", "provider, deployment"),
        ),
        chart(
            "Waiting calls",
            "Calls that wait for quota.",
            "short",
            gauge("sum", "classifier_waiting_calls", "provider, lane"),
        ),
        chart(
            "Open breakers",
            "Processes that have paused calls to the deployment because it fails.",
            "short",
            gauge(
                "sum",
                "classifier_deployment_breaker",
                "provider, deployment",
                f'{OF},state=~"open|half_open"',
            ),
        ),
        chart(
            "Failed calls",
            "Per second, including those that were retried.",
            "reqps",
            rate("classifier_provider_errors_total", "provider, kind"),
        ),
        chart(
            "Retried calls",
            "Per second, by the failure before.",
            "reqps",
            rate("classifier_retries_total", "provider, kind"),
        ),
        chart(
            "Time of a call, mean",
            "Mean time of a call to the deployment, in the process where it is slowest.",
            "s",
            gauge("max", "classifier_deployment_latency_seconds", "provider, deployment"),
        ),
    ),
    "Batches and webhooks": (
        stack(
            "Pictures of batches",
            "Per second, by outcome; again: postponed, to be asked again.",
            "reqps",
            rate("classifier_batch_items_total", "state"),
        ),
        stack(
            "Deliveries",
            "Attempts per second to deliver an event to a webhook.",
            "reqps",
            rate("classifier_webhook_attempts_total", "outcome"),
        ),
        chart(
            "Pending deliveries",
            "As of the last minute, including those that wait for a retry.",
            "short",
            Query(f"max(classifier_webhook_deliveries_pending{{{OF}}})", "deliveries"),
        ),
        chart(
            "Time of a delivery, p95",
            "From the event to its delivery, including all attempts.",
            "s",
            quantile(0.95, "classifier_webhook_delivery_seconds"),
        ),
    ),
    "Money": (
        *(
            stack(
                f"Cost by {each}",
                "Over the past hour, where the price is known.",
                "currencyUSD",
                increase("classifier_cost_usd_total", each, "1h"),
            )
            for each in ("domain", "deployment")
        ),
        *(
            stack(
                f"Tokens by {each}",
                "Per second, as billed.",
                "short",
                rate("classifier_tokens_total", f"{each}, kind", OF_DOMAIN),
            )
            for each in ("domain", "deployment")
        ),
    ),
    "Processes": (
        chart(
            "Memory",
            "Resident memory.",
            "bytes",
            gauge("sum", "process_resident_memory_bytes", "instance"),
        ),
        chart(
            "Processor",
            "Cores in use.",
            "short",
            rate("process_cpu_seconds_total", "instance"),
        ),
        chart(
            "Open files",
            "Open files and connections, as a share of the process's limit.",
            "percentunit",
            named_by(f"process_open_fds{{{OF}}} / process_max_fds{{{OF}}}", "instance"),
        ),
        chart(
            "Health checks",
            "1: passed in all processes when last run. 0: failed in some.",
            "short",
            gauge("min", "classifier_check_up", "check"),
        ),
    ),
}
