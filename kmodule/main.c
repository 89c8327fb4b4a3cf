// SPDX-License-Identifier: GPL-2.0 OR MIT
/* /dev/esca: contexts, their shared pages, and who may run a batch. */
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "calls.h"
#include "context.h"
#include "filter.h"
#include "stats.h"

static int esca_open(struct inode *inode, struct file *file)
{
	struct esca_ctx *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);

	if (!ctx)
		return -ENOMEM;
	mutex_init(&ctx->lock);
	mutex_init(&ctx->registering);
	file->private_data = ctx;
	return 0;
}

static int esca_release(struct inode *inode, struct file *file)
{
	struct esca_ctx *ctx = file->private_data;

	if (ctx->mem) {
		vfree(ctx->mem);
		account_locked_vm(ctx->mm, ctx->pages, false);
		mmdrop(ctx->mm);
	}
	mutex_destroy(&ctx->registering);
	mutex_destroy(&ctx->lock);
	kfree(ctx);
	return 0;
}

static int check(const struct esca_register *reg)
{
	if (!reg->entries || reg->entries > ESCA_MAX_ENTRIES ||
	    !reg->events || reg->events > ESCA_MAX_EVENTS ||
	    !reg->slots || reg->slots > ESCA_MAX_SLOTS ||
	    !reg->slot_size || reg->slot_size > ESCA_MAX_SLOT_SIZE ||
	    reg->interest_len > ESCA_MAX_INTEREST || reg->interest % sizeof(u32))
		return -EINVAL;
	if (!access_ok(u64_to_user_ptr(reg->interest), reg->interest_len * sizeof(u32)) ||
	    !access_ok(u64_to_user_ptr(reg->slot_base), (u64)reg->slots * reg->slot_size))
		return -EFAULT;
	return 0;
}

/* Lays the shared pages out: control, entries, events, free slots, a page each at least. */
static void lay_out(struct esca_register *reg)
{
	u32 off = PAGE_SIZE;

	reg->entries_off = off;
	off += PAGE_ALIGN(reg->entries * sizeof(struct esca_entry));
	reg->events_off = off;
	off += PAGE_ALIGN(reg->events * sizeof(struct esca_event));
	reg->free_off = off;
	off += PAGE_ALIGN(reg->slots * sizeof(s32));
	reg->map_size = off;
	reg->pad = 0;
	reg->features = esca_calls_features();
}

static int set_up(struct esca_ctx *ctx, const struct esca_register *reg)
{
	unsigned long pages = reg->map_size >> PAGE_SHIFT;
	void *mem;
	int err;

	err = account_locked_vm(current->mm, pages, true);
	if (err)
		return err;
	/* On the account of the memory cgroup too, which vmalloc_user cannot. */
	mem = __vmalloc(reg->map_size, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!mem) {
		account_locked_vm(current->mm, pages, false);
		return -ENOMEM;
	}
	mmgrab(current->mm);
	ctx->mm = current->mm;
	ctx->pages = pages;
	ctx->ctl = mem;
	ctx->entries = mem + reg->entries_off;
	ctx->events = mem + reg->events_off;
	ctx->free = mem + reg->free_off;
	ctx->nr_entries = reg->entries;
	ctx->nr_events = reg->events;
	ctx->nr_slots = reg->slots;
	ctx->slot_size = reg->slot_size;
	ctx->interest_len = reg->interest_len;
	ctx->interest = u64_to_user_ptr(reg->interest);
	ctx->slots = u64_to_user_ptr(reg->slot_base);
	/* Pairs with check_owner, which has no lock. */
	smp_store_release(&ctx->mem, mem);
	return 0;
}

/*
 * Not with ctx->lock: a context that is registered is never busy because another
 * process, which has come by the descriptor, tries to register it.
 */
static long esca_register(struct esca_ctx *ctx, struct esca_register __user *arg)
{
	struct esca_register reg;
	long err;

	if (copy_from_user(&reg, arg, sizeof(reg)))
		return -EFAULT;
	if (reg.abi != ESCA_ABI) {
		if (put_user((u32)ESCA_ABI, &arg->abi))
			return -EFAULT;
		return -EPROTO;
	}
	if (!mutex_trylock(&ctx->registering))
		return -EBUSY;
	err = -EALREADY;
	if (ctx->mem)
		goto out;
	err = check(&reg);
	if (err)
		goto out;
	lay_out(&reg);
	/* First what can fail without anything to undo. */
	err = -EFAULT;
	if (!copy_to_user(arg, &reg, sizeof(reg)))
		err = set_up(ctx, &reg);
out:
	mutex_unlock(&ctx->registering);
	return err;
}

/* Whether the calling process may run batches on @ctx: 0, or why not. */
static long check_owner(struct esca_ctx *ctx)
{
	/* Of set_up; mm and the rest are set before. */
	if (!smp_load_acquire(&ctx->mem))
		return -ENXIO;
	return ctx->mm == current->mm ? 0 : -EPERM;
}

static long esca_run(struct file *file, struct esca_ctx *ctx, unsigned long arg)
{
	long ret = check_owner(ctx);

	if (ret)
		return ret;
	if (!mutex_trylock(&ctx->lock))
		return -EBUSY;
	/*
	 * The caller of an ioctl need not hold a count of the file, and an entry
	 * may close the last descriptor.
	 */
	get_file(file);
	ret = esca_batch(ctx, arg >> 32, (u32)arg);
	mutex_unlock(&ctx->lock);
	fput(file);
	return ret;
}

static long esca_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct esca_ctx *ctx = file->private_data;

	if (in_compat_syscall())
		return -ENOTTY;	/* entries hold 64-bit calls */
	if (esca_filtered())
		return -EPERM;
	switch (cmd) {
	case ESCA_IOC_BATCH:
		return esca_run(file, ctx, arg);
	case ESCA_IOC_REGISTER:
		return esca_register(ctx, (void __user *)arg);
	}
	return -ENOTTY;
}

static int esca_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct esca_ctx *ctx = file->private_data;
	unsigned long at, page = vma->vm_pgoff;
	long err = check_owner(ctx);

	if (err)
		return err;
	if (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	if (page > ctx->pages || vma_pages(vma) > ctx->pages - page)
		return -EINVAL;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	vma->vm_flags |= VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP;
	vma->vm_flags &= ~VM_MAYEXEC;
#else
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP, VM_MAYEXEC);
#endif
	for (at = vma->vm_start; at < vma->vm_end && !err; at += PAGE_SIZE, page++)
		err = vm_insert_page(vma, at, vmalloc_to_page(ctx->mem + (page << PAGE_SHIFT)));
	return err;
}

static const struct file_operations esca_fops = {
	.owner		= THIS_MODULE,	/* no unloading while it is open or mapped */
	.open		= esca_open,
	.release	= esca_release,
	.unlocked_ioctl	= esca_ioctl,
	.mmap		= esca_mmap,
	.llseek		= noop_llseek,
};

static struct miscdevice esca_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "esca",
	.mode	= 0660,
	.fops	= &esca_fops,
};

static int __init esca_init(void)
{
	int err;

	BUILD_BUG_ON(sizeof(struct esca_entry) != 64);
	BUILD_BUG_ON(sizeof(struct esca_event) != 32);
	BUILD_BUG_ON(sizeof(struct esca_accepted) != 128);
	BUILD_BUG_ON(sizeof(struct esca_ctl) != 16);
	esca_filters_init();
	err = esca_calls_init();
	if (err)
		return err;
	esca_stats_init();
	err = misc_register(&esca_device);
	if (err)
		esca_stats_exit();
	return err;
}

static void __exit esca_exit(void)
{
	misc_deregister(&esca_device);
	esca_stats_exit();
}

module_init(esca_init);
module_exit(esca_exit);

MODULE_AUTHOR("The esca authors");
MODULE_DESCRIPTION("Effective system call aggregation: a table of calls in one crossing");
MODULE_LICENSE("Dual MIT/GPL");
