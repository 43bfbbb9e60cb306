"""Deposits: electron-dense deposits in TEM images.

The models are a plain network, an SVM on features of a pretrained network, and both combined. The rules make their
folds, the priors of TEM images in the diagnosis, the trained models, the predictions for the test side of each fold and
for new patients, and a page; each outputs a receipt. `show_deposits` copies the page, the page of errors and the table to
`<results>`.
"""

deposit_folds_stage = stage_of_rule("deposit_folds")
deposit_priors_stage = stage_of_rule("deposit_priors")
deposit_models_stage = stage_of_rule("deposit_models")
deposit_predictions_stage = stage_of_rule("deposit_predictions")
new_deposits_stage = stage_of_rule("new_deposits")
deposits_stage = stage_of_rule("deposits")


rule deposits:
    input:
        list_deposits,


rule make_deposit_folds:
    input:
        folds=deposit_folds_stage.folds,
        tem=deposit_folds_stage.tem,
    output:
        receipt="<results>/deposit_folds.json",
    log:
        "<results>/logs/deposit_folds/cohort.log",
    benchmark:
        "<results>/benchmarks/deposit_folds/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(30),
    params:
        settings=deposit_folds_stage.settings,
    message:
        "Divide the patients whose TEM images have readings of deposits"
    script:
        "../../scripts/make_deposit_folds.py"


rule fit_deposit_priors:
    input:
        folds=deposit_priors_stage.folds,
        diagnosis=deposit_priors_stage.diagnosis,
        tem=deposit_priors_stage.tem,
    output:
        receipt="<results>/deposit_priors/fold{fold}.json",
    log:
        "<results>/logs/deposit_priors/fold{fold}.log",
    benchmark:
        "<results>/benchmarks/deposit_priors/fold{fold}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(12000),
        runtime=scale_with_attempt(60),
        gpu=count_gpus,
    params:
        settings=deposit_priors_stage.settings,
    message:
        "Fit the priors of TEM images on fold {wildcards.fold}"
    script:
        "../../scripts/fit_deposit_priors.py"


rule train_deposits:
    input:
        folds=deposit_models_stage.folds,
        tem=deposit_models_stage.tem,
    output:
        receipt="<results>/deposit_models/{site}-{variant}/fold{fold}-seed{seed}.json",
    log:
        "<results>/logs/deposit_models/{site}-{variant}/fold{fold}-seed{seed}.log",
    benchmark:
        "<results>/benchmarks/deposit_models/{site}-{variant}/fold{fold}-seed{seed}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(12000),
        runtime=scale_with_attempt(360),
        gpu=count_gpus,
    params:
        settings=deposit_models_stage.settings,
    message:
        "Train {wildcards.variant} for {wildcards.site} deposits on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/train_deposits.py"


rule evaluate_deposits:
    input:
        folds=deposit_predictions_stage.folds,
        models=deposit_predictions_stage.models,
        tem=deposit_predictions_stage.tem,
    output:
        receipt="<results>/deposit_predictions/{site}/fold{fold}-seed{seed}.json",
    log:
        "<results>/logs/deposit_predictions/{site}/fold{fold}-seed{seed}.log",
    benchmark:
        "<results>/benchmarks/deposit_predictions/{site}/fold{fold}-seed{seed}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    params:
        settings=deposit_predictions_stage.settings,
    message:
        "Predict {wildcards.site} deposits on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/evaluate_deposits.py"


rule predict_deposits:
    input:
        models=new_deposits_stage.models,
        tem=new_deposits_stage.tem,
    output:
        receipt="<results>/new_deposits/{site}/{batch}.json",
    log:
        "<results>/logs/new_deposits/{site}/{batch}.log",
    benchmark:
        "<results>/benchmarks/new_deposits/{site}/{batch}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(60),
        gpu=count_gpus,
    params:
        settings=new_deposits_stage.settings,
    message:
        "Predict {wildcards.site} deposits of the patients of {wildcards.batch}"
    script:
        "../../scripts/predict_deposits.py"


rule report_deposits:
    input:
        predictions=deposits_stage.predictions,
        networks=deposits_stage.networks,
        tem=deposits_stage.tem,
    output:
        receipt="<results>/deposits.json",
    log:
        "<results>/logs/deposits/cohort.log",
    benchmark:
        "<results>/benchmarks/deposits/cohort.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        settings=deposits_stage.settings,
    message:
        "Write the page on deposits"
    script:
        "../../scripts/report_deposits.py"


# The page itself, for `snakemake --report`, and its table.
rule show_deposits:
    input:
        receipt=receipt_of_deposits,
    output:
        page=report(
            "<results>/deposits.html",
            caption="../report/deposits.rst",
            category="Pages",
        ),
        errors="<results>/deposits_errors.html",
        table="<results>/deposits.csv",
    log:
        "<results>/logs/pages/deposits.log",
    localrule: True
    params:
        folder=folder_of_deposits,
    message:
        "Copy the page on deposits"
    shell:
        "(cp {params.folder:q}/index.html {output.page:q} && cp {params.folder:q}/errors.html {output.errors:q}"
        " && cp {params.folder:q}/predictions.csv {output.table:q}) 2> {log:q}"
