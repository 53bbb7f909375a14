"""The thirty details that decide whether PPO is right, and the known traps, each with the tests that prove it.

Sources: 2403.17031 (N+ details of RLHF with PPO), its forerunner on lm-human-preferences, and what broke in others'
code. Every test named here was seen to fail when its detail was broken by hand. This module fails when one of them is
renamed, removed or skipped; the suite runs them where they stand.
"""

from __future__ import annotations

import importlib

import pytest

DETAILS = {
    "1 the pad token is not end-of-text, and masks come from lengths": (
        "text: test_the_pad_token_never_ends_a_text, test_masks_come_from_lengths_whatever_the_pad_id",
        "forced_pad: test_pad_equal_to_end_of_text_changes_no_number",
    ),
    "2 prompts are padded on the left for sampling, rows on the right for scoring": (
        "text: test_left_padding_by_hand, test_right_padding_by_hand",
        "decoding: test_under_another_attention_prompts_are_padded_on_the_left_and_change_nothing",
    ),
    "3 positions start at a row's first real token": (
        "text: test_left_padding_by_hand",
        "policy: test_padding_changes_no_number",
        "attention: test_a_stream_of_rows_gives_what_the_rows_alone_give_under_eager_attention",
    ),
    "4 a prompt that is too long loses its beginning": ("text: test_a_long_prompt_loses_its_beginning",),
    "5 a score is read at the last real token": (
        "reward_model: test_the_score_is_the_head_at_the_last_real_token, test_padding_changes_no_score_and_no_value",
    ),
    "6 a new head is drawn with deviation 1 / sqrt(d + 1)": (
        "reward_model: test_a_new_head_has_standard_deviation_one_over_the_root_of_width_plus_one",
    ),
    "7 a ranking's comparisons are one batch element, averaged": (
        "preference_losses: test_all_pairs_of_a_ranking_at_once_equal_the_reference_pair_by_pair",
        "preference_losses: test_a_ranking_counts_by_its_weight_and_not_by_its_number_of_comparisons",
    ),
    "8 a reward model trains one epoch, along a cosine to a tenth": (
        "reward: test_by_default_it_trains_one_epoch_and_the_rate_falls_to_a_tenth",
    ),
    "9 ties are dropped, or an outcome with a likelihood": (
        "preference_losses: test_four_completions_have_six_comparisons_and_a_tie_takes_one_away",
        "reward_options: test_ties_with_a_likelihood_pull_tied_answers_together",
    ),
    "10 scores are normalised before PPO": (
        "reward_options: test_demonstrations_score_zero_and_samples_of_the_policy_spread_by_one",
    ),
    "11 dropout is off, so that the first ratio is 1": (
        "policy: test_half_precision_weights_are_loaded_as_float32_and_dropout_is_off",
        "reward_model: test_dropout_is_off",
        "ppo: test_every_architecture_starts_at_ratio_one_and_kl_zero",
    ),
    "12 the whole distribution is sampled, at the temperature of the log-probabilities": (
        "sampling: test_tokens_are_drawn_in_proportion_to_their_probabilities",
        "sampling: test_the_sampler_saw_the_trainers_log_probabilities",
        "ppo_wiring: test_every_forward_of_a_run_takes_the_temperature",
    ),
    "13 log-probabilities are float32": ("policy: test_logits_in_half_precision_are_normalised_in_float32",),
    "14 (B, T, V) never exists": ("attention: test_logits_of_more_positions_than_a_chunk_never_exist",),
    "15 old log-probabilities come from the trainer's forward": (
        "ppo: test_before_any_update_every_log_probability_is_the_references_to_the_bit",
        "ppo: test_in_half_precision_too_it_starts_at_ratio_one_and_kl_zero",
    ),
    "16 a value is read before the token that it precedes": (
        "reward_model: test_a_value_is_read_before_the_token_that_it_precedes",
    ),
    "17 the penalty is minus beta times the log-ratio, the score lies at the last token": (
        "advantages: test_the_penalty_lowers_the_reward_where_the_policy_is_likelier_than_the_reference",
        "advantages: test_the_score_is_added_at_the_last_real_token_and_nowhere_else",
        "advantages: test_rewards_of_a_completion_sum_to_score_minus_beta_times_its_kl",
    ),
    "18 nothing behind end-of-text reaches an advantage": (
        "advantages: test_rubbish_in_the_padding_reaches_no_advantage",
    ),
    "19 returns are advantages plus values, before whitening": (
        "ppo_wiring: test_advantages_are_whitened_over_all_tokens_of_the_iteration_and_returns_never",
        "advantages: test_advantages_by_hand",
        "ppo_reference: test_rewards_advantages_and_losses_equal_the_reference",
    ),
    "20 whitening is masked, biased, and over the whole iteration": (
        "ppo_wiring: test_advantages_are_whitened_over_all_tokens_of_the_iteration_and_returns_never",
        "advantages: test_whitened_advantages_have_masked_mean_zero_and_biased_variance_one",
    ),
    "21 whitened rewards keep their mean": ("advantages: test_whitened_rewards_keep_their_mean",),
    "22 losses are masked means over the tokens of the whole step": (
        "losses: test_the_policy_loss_by_hand, test_the_value_loss_by_hand",
        "ppo: test_micro_batches_of_four_or_eight_learn_the_same",
        "ppo_wiring: test_the_value_coefficient_scales_the_gradient_of_the_value_model_alone",
    ),
    "23 an answer that never ends gets a fixed score": (
        "ppo_wiring: test_answers_that_never_end_get_the_fixed_score_in_a_run",
        "ppo: test_a_completion_without_end_of_text_gets_the_fixed_score",
    ),
    "24 every stop token stops": (
        "text: test_every_end_of_the_generation_config_stops",
        "sampling: test_a_completion_ends_with_its_first_stop_token_and_only_then_is_finished",
    ),
    "25 the value model is its own, and starts as the reward model": (
        "ppo_wiring: test_values_start_as_the_reward_model_and_share_nothing_with_it_or_the_policy",
        "ppo_wiring: test_rates_of_policy_and_value_fall_to_zero_along_a_line",
    ),
    "26 Adam's eps is 1e-5": (
        "loop: test_adams_eps_is_that_of_the_papers_and_halves_a_step_along_a_gradient_of_its_size",
    ),
    "27 the controller reads nats per completion": (
        "advantages: test_the_kl_coefficient_follows_the_kl_by_at_most_a_fifth",
        "ppo: test_a_kl_target_moves_the_coefficient_and_none_keeps_it",
        "ppo_wiring: test_more_padding_changes_no_metric",
    ),
    "28 metrics are masked too": ("ppo_wiring: test_more_padding_changes_no_metric",),
    "29 noise belongs to (seed, prompt, sample), and every process sees the same": (
        "sampling: test_a_completion_does_not_depend_on_batch_order_or_neighbours",
    ),
    "30 estimators of the KL": (
        "group_losses: test_estimators_on_a_distribution_that_can_be_enumerated",
        "group_losses: test_as_a_loss_only_k2_has_the_gradient_of_the_kl",
    ),
}

TRAPS = {
    "the reference is where the run started, and stays there": (
        "dpo: test_the_reference_of_a_resumed_run_is_where_the_run_started",
        "ppo: test_with_the_sft_policy_as_reference_the_penalty_is_the_kl_to_it",
    ),
    "the pairwise loss sees differences alone, and is ln 2 at none": (
        "preference_losses: test_a_constant_added_to_every_score_changes_nothing, test_equal_scores_cost_ln_two",
    ),
    "held-out rankings are never trained on": ("reward: test_held_out_rankings_change_no_weight",),
    "8 x 1 is 4 x 2, and the same seed the same curve": (
        "loop: test_eight_times_one_is_four_times_two_is_one_times_eight",
        "kills: test_five_kills_change_nothing",
    ),
    "packed rows are isolated, with restarting positions": (
        "attention: test_a_stream_of_rows_gives_what_the_rows_alone_give_under_eager_attention",
        "attention: test_an_architecture_whose_attention_is_its_own_keeps_it",
    ),
    "a registered attention has its mask function": (
        "architectures: test_rows_that_join_late_or_stay_longest_are_what_generate_writes",
    ),
    "what the model's own forward applies behind its output layer is applied": (
        "attention: test_logits_are_those_of_the_model_itself_with_its_scale_and_soft_cap",
        "policy: test_a_soft_cap_behind_the_output_layer_is_applied",
    ),
    "trainable weights are float32 whatever the checkpoint holds": (
        "policy: test_half_precision_weights_are_loaded_as_float32_and_dropout_is_off",
        "reward_model: test_weights_in_half_precision_are_loaded_as_float32",
    ),
    "a template's special tokens come once": ("text: test_a_tokenizers_own_begin_and_end_come_once_at_most",),
    "a saved reward model loads plainly, with the raw score": (
        "reward_model: test_plain_transformers_reads_the_raw_score_of_a_saved_model",
        "architectures: test_sft_reward_and_ppo_run_and_their_models_load_plainly",
    ),
    "a tie is half a win, and a swap exactly one minus": ("report: test_equal_scores_are_half_right",),
}


def test_there_are_thirty() -> None:
    assert [int(name.split()[0]) for name in DETAILS] == list(range(1, 31))


@pytest.mark.parametrize("detail", [*DETAILS, *TRAPS])
def test_a_detail_is_proved_by_tests_that_run(detail: str) -> None:
    for line in (DETAILS | TRAPS)[detail]:
        module, names = line.split(": ")
        for name in names.split(", "):
            test = getattr(importlib.import_module(f"tests.learning.test_{module}"), name)
            assert test.__module__ == f"tests.learning.test_{module}", "imported there, defined elsewhere"
            skipped = {mark.name for mark in getattr(test, "pytestmark", [])} & {"skip", "skipif", "xfail"}
            assert not skipped, f"{name} is marked {skipped}"
