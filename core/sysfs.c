// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/livepatch/<patch>/{enabled,transition,force}
 * /sys/kernel/livepatch/<patch>/<object>/patched
 * /sys/kernel/livepatch/<patch>/<object>/<function,sympos>/
 *
 * Names and meanings are mainline's: Documentation/ABI/testing/sysfs-kernel-livepatch.
 *
 * The kobjects are in struct klp_patch and what hangs on it, most of it static in the
 * patch's module. A patch's kobject outlives those below it, and its release is waited
 * for before the module is let go (core.c). Removing one waits for writers of its
 * files, so a patch's is removed without the mutex; the files below take no lock.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/completion.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "suture.h"

static struct kobject *klp_root_kobj;

static ssize_t enabled_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);

	return sysfs_emit(buf, "%d\n", patch->enabled);
}

/*
 * 0 takes the patch back; a patch that is taken back for good does not return. In a
 * transition, what is not there yet turns it round.
 */
static ssize_t enabled_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);
	bool enabled;
	int ret;

	ret = kstrtobool(buf, &enabled);
	if (ret)
		return ret;

	suture_lock();
	if (patch->going || patch->enabled == enabled) {
		ret = -EINVAL;
	} else if (patch == klp_transition_patch) {
		klp_reverse_transition();
		klp_try_complete_transition();
	} else if (!enabled) {
		ret = klp_disable_patch(patch);
	} else {
		ret = -EINVAL;
	}
	suture_unlock();

	return ret ? ret : count;
}

static ssize_t transition_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);

	return sysfs_emit(buf, "%d\n", patch == klp_transition_patch);
}

/* Of a module that goes, nobody may be left inside. */
static ssize_t force_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);
	bool force;
	int ret;

	ret = kstrtobool(buf, &force);
	if (ret)
		return ret;
	if (!force)
		return count;

	suture_lock();
	if (patch->going || patch != klp_transition_patch)
		ret = -EINVAL;
	else
		ret = klp_force_transition();
	suture_unlock();

	return ret ? ret : count;
}

static struct kobj_attribute enabled_attribute = __ATTR_RW(enabled);
static struct kobj_attribute transition_attribute = __ATTR_RO(transition);
static struct kobj_attribute force_attribute = __ATTR_WO(force);
static struct attribute *patch_attrs[] = {
	&enabled_attribute.attr,
	&transition_attribute.attr,
	&force_attribute.attr,
	NULL
};
ATTRIBUTE_GROUPS(patch);

static void release_patch(struct kobject *kobj)
{
	complete(&container_of(kobj, struct klp_patch, kobj)->finish);
}

static struct kobj_type patch_type = {
	.release = release_patch,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = patch_groups,
};

static ssize_t patched_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	struct klp_object *obj = container_of(kobj, struct klp_object, kobj);

	return sysfs_emit(buf, "%d\n", obj->patched);
}

static struct kobj_attribute patched_attribute = __ATTR_RO(patched);
static struct attribute *object_attrs[] = {
	&patched_attribute.attr,
	NULL
};
ATTRIBUTE_GROUPS(object);

static void release_object(struct kobject *kobj)
{
	struct klp_object *obj = container_of(kobj, struct klp_object, kobj);

	if (obj->dynamic)
		suture_free_dynamic_object(obj);
}

static struct kobj_type object_type = {
	.release = release_object,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = object_groups,
};

static void release_func(struct kobject *kobj)
{
	struct klp_func *func = container_of(kobj, struct klp_func, kobj);

	if (func->nop)
		suture_free_nop(func);
}

static struct kobj_type func_type = {
	.release = release_func,
	.sysfs_ops = &kobj_sysfs_ops,
};

/* From here on each is to be given back with kobject_put(), added or not. */
static void init_kobject(struct kobject *kobj, struct kobj_type *type)
{
	/* A patch that was refused once may be enabled a second time. */
	memset(kobj, 0, sizeof(*kobj));
	kobject_init(kobj, type);
}

void suture_init_patch_kobject(struct klp_patch *patch)
{
	init_kobject(&patch->kobj, &patch_type);
}

void suture_init_object_kobject(struct klp_object *obj)
{
	init_kobject(&obj->kobj, &object_type);
}

void suture_init_func_kobject(struct klp_func *func)
{
	init_kobject(&func->kobj, &func_type);
}

int suture_add_patch_kobject(struct klp_patch *patch)
{
	if (suture_out_of_memory())
		return -ENOMEM;
	return kobject_add(&patch->kobj, klp_root_kobj, "%s", patch->mod->name);
}

int suture_add_object_kobject(struct klp_patch *patch, struct klp_object *obj)
{
	if (suture_out_of_memory())
		return -ENOMEM;
	return kobject_add(&obj->kobj, &patch->kobj, "%s",
			   suture_object_name(obj));
}

/* The only function of its name is the first one. */
int suture_add_func_kobject(struct klp_object *obj, struct klp_func *func)
{
	if (suture_out_of_memory())
		return -ENOMEM;
	return kobject_add(&func->kobj, &obj->kobj, "%s,%lu", func->old_name,
			   func->old_sympos ? func->old_sympos : 1);
}

int suture_add_root_kobject(void)
{
	klp_root_kobj = kobject_create_and_add("livepatch", kernel_kobj);
	return klp_root_kobj ? 0 : -ENOMEM;
}

void suture_remove_root_kobject(void)
{
	kobject_put(klp_root_kobj);
}
