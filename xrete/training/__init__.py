"""What fine-tuning and EMMA-X's pretraining share: a team of processes, optimisers and schedules."""
