// SPDX-License-Identifier: GPL-2.0-only
/*
 * States: what patches changed beyond code, told to those that come after them.
 */
#include <linux/bug.h>
#include <linux/export.h>

#include "suture.h"

#define klp_for_each_state(patch, state)				       \
	for (state = (patch)->states; state && state->id; state++)

/**
 * klp_get_state() - what a patch says of a state
 * @patch:	the patch
 * @id:		of the state, not 0
 *
 * For callbacks and for the code of patches.
 *
 * Return: the patch's entry, or NULL if it does not change the state.
 */
struct klp_state *klp_get_state(struct klp_patch *patch, unsigned long id)
{
	struct klp_state *state;

	klp_for_each_state(patch, state) {
		if (state->id == id)
			return state;
	}
	return NULL;
}
EXPORT_SYMBOL_GPL(klp_get_state);

/**
 * klp_get_prev_state() - what the patches before the one in transition say of a state
 * @id:		of the state, not 0
 *
 * For callbacks during a transition; the list of patches is locked then.
 *
 * Return: the entry of the newest of those patches that change the state, or NULL.
 */
struct klp_state *klp_get_prev_state(unsigned long id)
{
	struct klp_state *state, *found = NULL;
	struct klp_patch *patch;

	if (WARN_ON_ONCE(!klp_transition_patch))
		return NULL;
	klp_for_each_patch(patch) {
		if (patch == klp_transition_patch)
			break;
		state = klp_get_state(patch, id);
		if (state)
			found = state;
	}
	return found;
}
EXPORT_SYMBOL_GPL(klp_get_prev_state);

/* Of a patch that replaces all others, all their states must be known. */
static bool is_state_compatible(struct klp_patch *patch,
				const struct klp_state *old)
{
	const struct klp_state *state = klp_get_state(patch, old->id);

	return state ? state->version >= old->version : !patch->replace;
}

/**
 * klp_is_patch_compatible() - whether a patch can take over what others changed
 * @patch:	checked
 */
bool klp_is_patch_compatible(struct klp_patch *patch)
{
	const struct klp_state *state;
	struct klp_patch *old;

	klp_for_each_patch(old) {
		klp_for_each_state(old, state) {
			if (!is_state_compatible(patch, state))
				return false;
		}
	}
	return true;
}
