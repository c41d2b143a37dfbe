/*
 * title: Code written at run time, without metadata
 * rows: 12 43
 * changes-code: yes
 * fails: fp call at jitted_bare; fp-reliable call at jitted_bare on aarch64; fp boundary at jitted
 * refuses: dwarf call at jitted; dwarf call at jitted_bare; sframe call at jitted; orc boundary at jitted on x86_64;
 *       fp-validated call at jitted on aarch64
 * survives: fp call at jitted; fp-reliable call at jitted on aarch64; hw-shadow boundary; dwarf call
 * expect: small 0x3855925519503965 large 0x21f843954b75a5a5
 *
 * What a JIT compiler does: instructions are written into a buffer, called, and call back.  One of the two routines makes
 * a frame as BPF's do, the other saves its return address only.  Tables know of neither.
 */
#include "asm.h"
#include "rt.h"

#define ROOM 64
__asm__(".section jit,\"awx\"\n.p2align 6\n" LAB_BEHIND(jitted, ".skip 64\n") LAB_BEHIND(jitted_bare, ".skip 64\n"));
extern u8 jitted[ROOM], jitted_bare[ROOM];

#if defined(__aarch64__)
typedef u32 unit;
static const u32 framed[] = {
	0xa9bf7bfd, /* stp x29, x30, [sp, #-16]! */
	0x910003fd, /* mov x29, sp */
	0xd63f0020, /* blr x1 */
	0x91000400, /* add x0, x0, #1 */
	0xa8c17bfd, /* ldp x29, x30, [sp], #16 */
	0xd65f03c0, /* ret */
};
static const u32 bare[] = {
	0xf81f0ffe, /* str x30, [sp, #-16]! */
	0xd63f0020, /* blr x1 */
	0x91000400, /* add x0, x0, #1 */
	0xf84107fe, /* ldr x30, [sp], #16 */
	0xd65f03c0, /* ret */
};
#define SYNCHRONISE() __asm__ volatile("dsb ish\n\tisb" ::: "memory")
#else
typedef u8 unit;
static const u8 framed[] = {
	0x55, /* push %rbp */
	0x48, 0x89, 0xe5, /* mov %rsp, %rbp */
	0xff, 0xd6, /* call *%rsi */
	0x48, 0xff, 0xc0, /* inc %rax */
	0x5d, /* pop %rbp */
	0xc3, /* ret */
};
static const u8 bare[] = {
	0x48, 0x83, 0xec, 0x08, /* sub $8, %rsp */
	0xff, 0xd6, /* call *%rsi */
	0x48, 0xff, 0xc0, /* inc %rax */
	0x48, 0x83, 0xc4, 0x08, /* add $8, %rsp */
	0xc3, /* ret */
};
#define SYNCHRONISE() BARRIER()
#endif

typedef u64 helper(u64 x);
typedef u64 program(u64 x, helper *call);

static NOINLINE void emit(u8 *place, const unit *code, u64 count)
{
	volatile unit *to = (volatile unit *)place;

	for (u64 i = 0; i < count; i++)
		to[i] = code[i];
	SYNCHRONISE();
}

NOINLINE u64 work(u64 x)
{
	OPAQUE(x);
	return x * 0x5851f42d4c957f2dul + (x >> 33);
}

NOINLINE u64 helped(u64 x)
{
	u64 found = work(x);

	BARRIER();
	return found ^ x;
}

NOINLINE u64 both(u64 x)
{
	u64 one = ((program *)jitted)(x, helped), other = ((program *)jitted_bare)(x, helped);

	lab_check(one == other && one == helped(x) + 1, "both routines call the helper");
	return one;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 2000 : 8;

	emit(jitted, framed, COUNT(framed));
	emit(jitted_bare, bare, COUNT(bare));
	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + both(round);
	return digest;
}
