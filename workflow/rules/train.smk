"""Train: the weights of each model, fold and seed, and their predictions for the validation patients.

The rule outputs the receipt. The job also writes the link `<results>/train/{model}/fold{fold}-seed{seed}` to the folder
in the store.
"""

train_stage = stage_of_rule("train")


rule train:
    input:
        list_receipts_up_to("train"),


rule train_model:
    input:
        folds=train_stage.folds,
        priors=train_stage.priors,
        features=train_stage.features,
    output:
        receipt="<results>/train/{model}/fold{fold}-seed{seed}.json",
    log:
        "<results>/logs/train/{model}/fold{fold}-seed{seed}.log",
    benchmark:
        "<results>/benchmarks/train/{model}/fold{fold}-seed{seed}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(720),
        gpu=count_gpus,
    params:
        settings=train_stage.settings,
    message:
        "Train {wildcards.model} on fold {wildcards.fold} with seed {wildcards.seed}"
    script:
        "../../scripts/train_model.py"
