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
            "Processes that Prometheus knows of and does not reach.",
            "short",
            f"count(up{{{OF}}} == 0) or vector(0)",
            bad=1,
        ),
        figure(
            "Results a minute",
            "Failed ones, too; of the last five minutes.",
            "short",
            f"{STORED} * 60",
        ),
        figure(
            "Failures",
            "Of the pictures of the last five minutes, the share that got no answer.",
            "percentunit",
            f"({FAILED} + {UNANSWERED}) / (({STORED} + {UNANSWERED}) > 0)",
            bad=0.05,
        ),
        figure(
            "Time, p95",
            "95 of 100 results of the last five minutes were there within it.",
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
            "Of the calls whose price is known.",
            "currencyUSD",
            f"sum(increase(classifier_cost_usd_total{{{OF_DOMAIN}}}[24h])) or vector(0)",
        ),
        figure(
            "Alerts",
            "As the service itself counts those that fire: GET /alerts names them. The red marks "
            "in the charts are alerts of Prometheus.",
            "short",
            f'sum(max by (rule, severity) (classifier_alerts{{{OF},state="firing"}})) or vector(0)',
            bad=1,
        ),
    ),
    "Quality": (
        chart(
            "Accuracy",
            "Of the answers of the last 24 hours whose true class is known, the share that is "
            "right, without those reviewed because they were unsure. Few of them make it jump.",
            "percentunit",
            share("classifier_labels_total", 'right="true"', "24h", 'source!="review"'),
            bad=THRESHOLDS.accuracy,
        ),
        chart(
            "Accuracy of the unseen",
            "Of the accepted answers whose true class a person told in the last 7 days, drawn at "
            "random, the share that is right.",
            "percentunit",
            share("classifier_labels_total", 'right="true"', "7d", 'source="random_review"'),
            bad=0.9,
        ),
        chart(
            "Known classes",
            "Answers of the last 24 hours whose true class was told.",
            "short",
            increase("classifier_labels_total", "domain", "24h"),
        ),
        chart(
            "For review",
            "Of the results of the last hour, the share that a person should look at.",
            "percentunit",
            share(RESULTS, 'status="needs_review"', "1h"),
        ),
        chart(
            "Drift",
            "How unlike the four weeks before the answers of the last day are, by class and by "
            "confidence: below 0.1 little, above 0.25 much.",
            "short",
            gauge("max", "classifier_drift", "domain, of", OF_DOMAIN),
            bad=0.25,
        ),
    ),
    "Speed": (
        chart(
            "Time of a result",
            "50, 95 and 99 of 100 results are there within it. A dot is one of them, with the id "
            "of its trace.",
            "s",
            *(quantile(each, SECONDS, of=OF_DOMAIN) for each in (0.5, 0.95, 0.99)),
        ),
        *(
            chart(
                f"Time of a result by domain, p{100 * each:.0f}",
                f"{100 * each:.0f} of 100 results of the domain are there within it.",
                "s",
                quantile(each, SECONDS, "domain", OF_DOMAIN),
            )
            for each in (0.5, 0.95, 0.99)
        ),
        stack(
            "Work by stage",
            "How many pictures are in each stage at the same time, on average. What grows is what "
            "takes the time: fetching, preparing, waiting for quota, the provider, storing.",
            "short",
            rate("classifier_stage_seconds_sum", "stage"),
        ),
        chart(
            "Time of a stage, p95",
            "95 of 100 pictures pass the stage within it.",
            "s",
            quantile(0.95, "classifier_stage_seconds", "stage"),
        ),
        chart(
            "Time of a request, p95",
            "95 of 100 HTTP requests of the route are answered within it.",
            "s",
            quantile(0.95, "classifier_http_request_seconds", "route"),
        ),
        chart(
            "Event loop lag, p99",
            "How late a process does what it should do. Above 0.1 s it is short of processor time.",
            "s",
            quantile(0.99, "classifier_event_loop_lag_seconds", "instance"),
        ),
    ),
    "Traffic": (
        stack("Results", "A second, by outcome.", "reqps", rate(RESULTS, "status", OF_DOMAIN)),
        stack(
            "Failed results",
            "A second, by kind of error: docs/errors.md.",
            "reqps",
            rate("classifier_failed_results_total", "kind", OF_DOMAIN),
        ),
        stack(
            "Requests",
            "HTTP requests a second, by status.",
            "reqps",
            rate("classifier_http_requests_total", "status"),
        ),
        stack(
            "Where answers come from",
            "A second: asked for, shared with a request at the same time, or kept from before, "
            "which costs nothing.",
            "reqps",
            rate("classifier_answers_total", "how"),
        ),
        chart(
            "Quota left",
            "Share of what a deployment grants each minute, by the process that sees the least.",
            "percentunit",
            gauge("min", "classifier_deployment_quota_left_ratio", "deployment, dimension"),
        ),
        chart(
            "Wait for quota, p95",
            "95 of 100 calls are let through within it. Requests go before batches.",
            "s",
            quantile(0.95, "classifier_admission_wait_seconds", "lane"),
        ),
        chart(
            "Calls under way",
            "To each deployment.",
            "short",
            gauge("sum", "classifier_deployment_calls_in_flight", "provider, deployment"),
        ),
        chart(
            "Calls that wait",
            "For quota.",
            "short",
            gauge("sum", "classifier_waiting_calls", "provider, lane"),
        ),
        chart(
            "Breakers that are open",
            "Processes that leave the deployment alone because it fails.",
            "short",
            gauge(
                "sum",
                "classifier_deployment_breaker",
                "provider, deployment",
                f'{OF},state=~"open|half_open"',
            ),
        ),
        chart(
            "Calls that failed",
            "A second, those that were made again too.",
            "reqps",
            rate("classifier_provider_errors_total", "provider, kind"),
        ),
        chart(
            "Calls made again",
            "A second, by what failed before.",
            "reqps",
            rate("classifier_retries_total", "provider, kind"),
        ),
        chart(
            "Time of a call, mean",
            "Of the deployment, as the process that finds it slowest.",
            "s",
            gauge("max", "classifier_deployment_latency_seconds", "provider, deployment"),
        ),
    ),
    "Batches and webhooks": (
        stack(
            "Pictures of batches",
            "A second, by what became of them; again: put off, and asked once more.",
            "reqps",
            rate("classifier_batch_items_total", "state"),
        ),
        stack(
            "Deliveries",
            "Attempts a second to tell a webhook of an event.",
            "reqps",
            rate("classifier_webhook_attempts_total", "outcome"),
        ),
        chart(
            "Deliveries to be made",
            "As of the last minute; those that wait for another attempt too.",
            "short",
            Query(f"max(classifier_webhook_deliveries_pending{{{OF}}})", "deliveries"),
        ),
        chart(
            "Time of a delivery, p95",
            "From the event on, with all attempts.",
            "s",
            quantile(0.95, "classifier_webhook_delivery_seconds"),
        ),
    ),
    "Money": (
        *(
            stack(
                f"Cost by {each}",
                "Of the hour before, where the price is known.",
                "currencyUSD",
                increase("classifier_cost_usd_total", each, "1h"),
            )
            for each in ("domain", "deployment")
        ),
        *(
            stack(
                f"Tokens by {each}",
                "A second, as billed.",
                "short",
                rate("classifier_tokens_total", f"{each}, kind", OF_DOMAIN),
            )
            for each in ("domain", "deployment")
        ),
    ),
    "Processes": (
        chart(
            "Memory",
            "Resident.",
            "bytes",
            gauge("sum", "process_resident_memory_bytes", "instance"),
        ),
        chart(
            "Processor",
            "1 is a whole core.",
            "short",
            rate("process_cpu_seconds_total", "instance"),
        ),
        chart(
            "Open files",
            "Files and connections, as a share of those that it may open.",
            "percentunit",
            named_by(f"process_open_fds{{{OF}}} / process_max_fds{{{OF}}}", "instance"),
        ),
        chart(
            "Health checks",
            "1: it passed in all processes when it was last run. 0: it fails in some.",
            "short",
            gauge("min", "classifier_check_up", "check"),
        ),
    ),
}
