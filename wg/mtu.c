/* SPDX-License-Identifier: GPL-2.0-only */
#include "wg/mtu.h"

#define TRIES  3
#define SILENT 4

static void done(struct mtu_search *s)
{
	s->size = 0;
	s->checking = false;
}

/* What a hop named is tried first, then whether that was all, since it may have lied. */
static void next(struct mtu_search *s)
{
	uint32_t above = s->bad ? s->bad : s->top + 1;

	s->tries = 0;
	s->silent = 0;
	s->checking = false;
	if (above - s->good <= 1)
		done(s);
	else if (!s->bad)
		s->size = s->top;
	else if (s->told > s->good && s->told < above)
		s->size = s->told;
	else if (s->told == s->good)
		s->size = s->told + 1;
	else
		s->size = s->good + (above - s->good) / 2;
}

void mtu_search_start(struct mtu_search *s, uint32_t floor, uint32_t top)
{
	*s = (struct mtu_search){
		.floor = floor,
		.top = top > floor ? top : floor,
		.size = floor,
		.checking = true,
	};
}

uint32_t mtu_search_size(const struct mtu_search *s)
{
	return s->checking ? s->floor : s->size;
}

static void floor_result(struct mtu_search *s, bool passed)
{
	if (!passed) {
		if (++s->silent >= SILENT) {
			s->good = 0;
			done(s);
		}
		return;
	}
	s->silent = 0;
	s->checking = false;
	if (!s->good) {
		s->good = s->floor;
		next(s);
	} else if (++s->tries >= TRIES) {
		s->bad = s->size;
		next(s);
	}
}

void mtu_search_result(struct mtu_search *s, bool passed)
{
	if (!mtu_search_size(s))
		return;
	if (s->checking) {
		floor_result(s, passed);
	} else if (passed) {
		s->good = s->size;
		next(s);
	} else {
		s->checking = true;
	}
}

void mtu_search_too_big(struct mtu_search *s, uint32_t mtu)
{
	if (!mtu_search_size(s))
		return;
	if (s->checking) {
		s->good = 0;
		done(s);
		return;
	}
	s->bad = s->size;
	s->told = mtu;
	next(s);
}
