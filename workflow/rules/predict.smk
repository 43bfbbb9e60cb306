"""Predictions for patients outside the folds."""


rule predict:
    input:
        list_predictions,


rule predict_patients:
    input:
        list_receipts_before("predict"),
    output:
        receipt("predict"),
    log:
        log_file("predict"),
    benchmark:
        benchmark_file("predict")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
        gpu=count_gpus,
    message:
        "Predict {wildcards.set} patients by the ensemble of {wildcards.model}"
    script:
        "../../scripts/predict_patients.py"
