"""Features: one bag of feature maps for each patient and modality.

The rule outputs the receipt. The job also writes the link `<results>/features/{patient}-{modality}.zarr` to the bag in
the store. tiles.smk describes how a job runs, and how an artifact is made again.
"""

features_stage = stage_of_rule("features")


rule features:
    input:
        list_receipts_up_to("features"),


rule extract_features:
    input:
        glomeruli=features_stage.glomeruli,
        tem=features_stage.tem,
    output:
        receipt="<results>/features/{patient}-{modality}.json",
    log:
        "<results>/logs/features/{patient}-{modality}.log",
    benchmark:
        "<results>/benchmarks/features/{patient}-{modality}.tsv"
    threads: plan.config.compute.threads
    resources:
        mem_mb=scale_with_attempt(6000),
        runtime=scale_with_attempt(30),
        gpu=count_gpus,
    params:
        settings=features_stage.settings,
    message:
        "Encode {wildcards.modality} of {wildcards.patient}"
    script:
        "../../scripts/extract_features.py"
