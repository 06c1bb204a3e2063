"""Knowledge injection by finetuning: data builders, training, evaluation and statistics of the study."""
