// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow variables: data that a patch adds to objects of the kernel, without a member
 * in their structure. A variable is known by the object's address and a number that
 * the patch's author gives.
 *
 * Locking: shadow_lock guards the hash for who changes it; who reads it is in an RCU
 * read section. What a variable's data are for is the callers' to order, also that
 * nobody uses a variable that another frees.
 *
 * Variables outlive the patch that made them: the next one may want them.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/bug.h>
#include <linux/hashtable.h>
#include <linux/livepatch.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "suture.h"

struct shadow {
	struct hlist_node node;
	struct rcu_head rcu;
	const void *obj;
	unsigned long id;
	/* Of any type. */
	char data[] __aligned(sizeof(u64));
};

static DEFINE_HASHTABLE(shadows, 12);
static DEFINE_SPINLOCK(shadow_lock);

/* Under the lock, or in an RCU read section. */
static struct shadow *find(const void *obj, unsigned long id)
{
	struct shadow *shadow;

	hash_for_each_possible_rcu(shadows, shadow, node, (unsigned long)obj,
				   lockdep_is_held(&shadow_lock)) {
		if (shadow->obj == obj && shadow->id == id)
			return shadow;
	}
	return NULL;
}

/**
 * klp_shadow_get() - finds a shadow variable
 * @obj:	the object that it belongs to
 * @id:		its number
 *
 * Return: its data, or NULL if there is none.
 */
void *klp_shadow_get(void *obj, unsigned long id)
{
	struct shadow *shadow;

	rcu_read_lock();
	shadow = find(obj, id);
	rcu_read_unlock();
	return shadow ? shadow->data : NULL;
}
EXPORT_SYMBOL_GPL(klp_shadow_get);

/* The data of a new variable, or of the one that was there: @existed. */
static void *get_or_alloc(void *obj, unsigned long id, size_t size, gfp_t gfp_flags,
			  klp_shadow_ctor_t ctor, void *ctor_data, bool *existed)
{
	struct shadow *made, *found;
	unsigned long flags;
	int err = 0;

	*existed = true;
	rcu_read_lock();
	found = find(obj, id);
	rcu_read_unlock();
	if (found)
		return found->data;

	*existed = false;
	/* A sum that wraps is more than anybody can have. */
	made = kzalloc(size_add(sizeof(*made), size), gfp_flags);
	if (!made)
		return NULL;
	made->obj = obj;
	made->id = id;

	spin_lock_irqsave(&shadow_lock, flags);
	found = find(obj, id);
	if (!found && ctor)
		err = ctor(obj, made->data, ctor_data);
	if (!found && !err)
		hash_add_rcu(shadows, &made->node, (unsigned long)obj);
	spin_unlock_irqrestore(&shadow_lock, flags);

	if (!found && !err)
		return made->data;
	kfree(made);
	if (err) {
		pr_err("Failed to construct shadow variable <%p, %lx> (%d)\n", obj, id,
		       err);
		return NULL;
	}
	*existed = true;
	return found->data;
}

/**
 * klp_shadow_alloc() - makes a shadow variable
 * @obj:	the object that it belongs to
 * @id:		its number
 * @size:	of its data, in bytes
 * @gfp_flags:	for its memory
 * @ctor:	fills its data, which are zero before; NULL if they are to stay so. It is
 *		called under a spin lock, and only if the variable is new.
 * @ctor_data:	for @ctor
 *
 * Return: its data, or NULL if there is no memory, @ctor has failed, or the variable is
 * there already, of which the kernel warns.
 */
void *klp_shadow_alloc(void *obj, unsigned long id, size_t size, gfp_t gfp_flags,
		       klp_shadow_ctor_t ctor, void *ctor_data)
{
	bool existed;
	void *data = get_or_alloc(obj, id, size, gfp_flags, ctor, ctor_data, &existed);

	if (existed) {
		WARN(1, "Duplicate shadow variable <%p, %lx>\n", obj, id);
		return NULL;
	}
	return data;
}
EXPORT_SYMBOL_GPL(klp_shadow_alloc);

/**
 * klp_shadow_get_or_alloc() - finds a shadow variable, and makes it if it is not there
 * @obj:	the object that it belongs to
 * @id:		its number
 * @size:	of its data if they are new, in bytes
 * @gfp_flags:	likewise
 * @ctor:	likewise, as in klp_shadow_alloc()
 * @ctor_data:	for @ctor
 *
 * Return: its data, or NULL if there is no memory or @ctor has failed.
 */
void *klp_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, gfp_t gfp_flags,
			      klp_shadow_ctor_t ctor, void *ctor_data)
{
	bool existed;

	return get_or_alloc(obj, id, size, gfp_flags, ctor, ctor_data, &existed);
}
EXPORT_SYMBOL_GPL(klp_shadow_get_or_alloc);

/* Under the lock. */
static void remove(struct shadow *shadow, klp_shadow_dtor_t dtor)
{
	hash_del_rcu(&shadow->node);
	if (dtor)
		dtor((void *)shadow->obj, shadow->data);
	kfree_rcu(shadow, rcu);
}

/**
 * klp_shadow_free() - removes a shadow variable, if it is there
 * @obj:	the object that it belongs to
 * @id:		its number
 * @dtor:	called with its data before they go, under a spin lock; may be NULL
 */
void klp_shadow_free(void *obj, unsigned long id, klp_shadow_dtor_t dtor)
{
	struct shadow *shadow;
	unsigned long flags;

	spin_lock_irqsave(&shadow_lock, flags);
	shadow = find(obj, id);
	if (shadow)
		remove(shadow, dtor);
	spin_unlock_irqrestore(&shadow_lock, flags);
}
EXPORT_SYMBOL_GPL(klp_shadow_free);

/**
 * klp_shadow_free_all() - removes the shadow variables of that number of all objects
 * @id:		the number
 * @dtor:	as in klp_shadow_free()
 */
void klp_shadow_free_all(unsigned long id, klp_shadow_dtor_t dtor)
{
	struct shadow *shadow;
	struct hlist_node *next;
	unsigned long flags;
	int i;

	spin_lock_irqsave(&shadow_lock, flags);
	hash_for_each_safe(shadows, i, next, shadow, node) {
		if (shadow->id == id)
			remove(shadow, dtor);
	}
	spin_unlock_irqrestore(&shadow_lock, flags);
}
EXPORT_SYMBOL_GPL(klp_shadow_free_all);

/**
 * suture_free_shadows() - gives back what is left of all shadow variables
 *
 * When the core goes: no patch is there any more, and nobody could find them again.
 */
void suture_free_shadows(void)
{
	struct shadow *shadow;
	struct hlist_node *next;
	int i;

	hash_for_each_safe(shadows, i, next, shadow, node)
		remove(shadow, NULL);
}
