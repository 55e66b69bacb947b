"""What a run leaves on disk, and how to read it again.

A run directory holds three files, each written to a temporary file first and moved into place, so that a reader sees
either nothing or the whole:

``config.json``     the whole configuration (:meth:`RunConfig.to_json`): the run can be repeated from it alone.
``metrics.jsonl``   one JSON object per epoch, in the order of the epochs (the rows of ``curves`` below).
``result.json``     written last: a directory with a ``result.json`` is a finished run.

``result.json`` (accuracies and shares in percent of 0 to 100, losses in nats, ``null`` where a figure does not exist)::

    {
      "schema": 1,
      "recipe": "digits-noisy-sam",             # name of the recipe the configuration started from
      "method": "sam",                          # sgd | sam | asam | gsam | obf | random
      "seed": 0,
      "config": {...},                          # as in config.json
      "environment": {"python", "torch", "numpy", "samnesia", "hardware", "threads", "commit", "started"},
                                                # commit: null outside a git checkout; started: UTC, ISO 8601
      "parameters": 22650,                      # trainable weights of the model
      "curves": {                               # lists of one number per epoch
        "epoch": [0, 1, ...],
        "learning_rate": [...],                 # at the last step of the epoch
        "train_loss": [...],                    # mean over the epoch's steps, unperturbed weights, (noisy) labels
        "train_accuracy": [...],                # end of the epoch, against the (noisy) labels it was trained on
        "validation_accuracy": [...],           # against the validation labels as given: noisy on a noisy problem
        "validation_loss": [...],
        "test_accuracy": [...],                 # clean labels
        "test_loss": [...],
        "flipped_fitted": [...],                # % of flipped training labels that are predicted as flipped
        "flipped_recovered": [...]              # % of flipped training labels predicted as their true class
      },                                        # (both are null without flipped labels)
      "last": {"epoch": 79, "test_accuracy": ..., ...},   # every curve at the last epoch
      "best": {"epoch": 12, "test_accuracy": ..., ...},   # every curve at the earliest epoch of the highest
                                                          # validation accuracy
      "steps": 800,                             # optimizer steps taken
      "skipped_steps": 0,                       # steps not taken because loss or gradient were not finite
      "gradient_evaluations": 1600,             # forward-backward passes over a batch
      "seconds": 4.2,                           # wall time of training and evaluation, without imports and data
      "report": {                               # means over the steps, as the method measured them
        "perturbation_norm": 0.2,               # realised ||e||, null where nothing was perturbed
        "cosine": 0.8,                          # between clean and perturbed gradient, null where not measured
        "gradient_norm": 1.3                    # of the gradient that the optimizer saw
      },
      "weight_norm": 14.2,                      # ||w|| over the trained weights at the end, null if not finite
      "collapsed": null                         # or the sentence of TrainingCollapsedWarning
    }
"""
