/*
 * title: Alternatives patched in, under metadata of the original
 * rows: 12 20
 * changes-code: yes
 * fails: fp call at frameless; fp-reliable call at frameless on aarch64; fp-x86-reliable call at frameless on x86_64
 * refuses: dwarf call at roomier on aarch64; sframe call at roomier on aarch64;
 *       fp-validated call at frameless on aarch64; fp-validated call at roomier on aarch64
 * adds: dwarf call at roomier on x86_64; orc call at roomier on x86_64; guess boundary at roomier on x86_64
 * survives: fp call at roomier; dwarf call at frameless; hw-shadow boundary
 * expect: small 0x87a96dc63bcf17af large 0x24c87816e30bdf6a
 *
 * While the program runs it patches both routines at their marked instructions, one after the other, and runs each in
 * between.  The alternative of the first moves SP where the original does not, that of the second has no frame pointer;
 * the unwind tables are still those of the originals.  On x86-64 what the stale row of the first finds in the room is an
 * address that was live before: an extra frame, and no refusal.
 */
#include "asm.h"
#include "rt.h"

/* In text that can be written; the originals and their unwind information, which is right until they are patched. */
#if defined(__aarch64__)
#define ROOMIER LAB_CFI("stp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n.cfi_offset x29, -16\n.cfi_offset x30, -8\n" \
			"mov x29, sp\nroomier_down: nop\nbl work\nroomier_up: nop\n" \
			"ldp x29, x30, [sp], #16\n.cfi_def_cfa_offset 0\n.cfi_restore x29\n.cfi_restore x30\nret\n")
#define FRAMELESS LAB_CFI("stp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n.cfi_offset x29, -16\n" \
			  ".cfi_offset x30, -8\nframeless_set: mov x29, sp\nbl work\n" \
			  "ldp x29, x30, [sp], #16\n.cfi_def_cfa_offset 0\n.cfi_restore x29\n.cfi_restore x30\nret\n")
typedef u32 unit;
static const u32 down[] = { 0xd10083ff }; /* sub sp, sp, #32 */
static const u32 up[] = { 0x910083ff };   /* add sp, sp, #32 */
static const u32 unset[] = { 0xd503201f }; /* nop */
#define SYNCHRONISE() __asm__ volatile("dsb ish\n\tisb" ::: "memory")
#else
#define ROOMIER LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\n" \
			"roomier_down: nopl (%rax,%rax)\ncall work\nroomier_up: nopl (%rax,%rax)\n" \
			"pop %rbp\n.cfi_def_cfa_offset 8\n.cfi_restore rbp\nret\n")
#define FRAMELESS LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nframeless_set: mov %rsp, %rbp\n" \
			  "call work\npop %rbp\n.cfi_def_cfa_offset 8\n.cfi_restore rbp\nret\n")
typedef u8 unit;
static const u8 down[] = { 0x48, 0x83, 0xec, 0x10 };	   /* sub $16, %rsp */
static const u8 up[] = { 0x48, 0x83, 0xc4, 0x10 };	   /* add $16, %rsp */
static const u8 unset[] = { 0x0f, 0x1f, 0x00 };		   /* nopl (%rax) */
#define SYNCHRONISE() BARRIER()
#endif
__asm__(".section altered,\"awx\"\n.p2align 4\n" LAB_BEHIND(roomier, ROOMIER) LAB_BEHIND(frameless, FRAMELESS));
u64 roomier(u64 x);
u64 frameless(u64 x);
extern u8 roomier_down[], roomier_up[], frameless_set[];

#define PATCH(site, code) patch(site, code, COUNT(code))
static NOINLINE void patch(u8 *site, const unit *code, u64 count)
{
	volatile unit *to = (volatile unit *)site;

	for (u64 i = 0; i < count; i++)
		to[i] = code[i];
	SYNCHRONISE();
}

NOINLINE __attribute__((used)) u64 work(u64 x)
{
	OPAQUE(x);
	return x * 3;
}

NOINLINE u64 middle(u64 x)
{
	u64 one = roomier(x), other = frameless(x);

	lab_check(one == other, "both routines agree");
	return one;
}

NOINLINE u64 several(u64 count)
{
	u64 digest = LAB_SEED;

	for (u64 round = 0; round < count; round++)
		digest = digest * 31 + middle(round);
	return digest;
}

u64 lab_main(u64 large)
{
	u64 count = large ? 1500 : 5, original = several(count), half;

	PATCH(roomier_down, down);
	PATCH(roomier_up, up);
	half = several(count);
	PATCH(frameless_set, unset);
	lab_check(half == original, "the first alternative does the same");
	return original ^ several(count + 1);
}
