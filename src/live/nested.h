/*
 * nested.h: statements that are run between those of the user.
 */
#ifndef LEADSCORE_NESTED_H
#define LEADSCORE_NESTED_H

/*
 * Do something, at a time when no statement is running, so that extensions such
 * as pg_stat_statements take the statements in it for nested ones.
 */
extern void run_nested(void (*work) (void *argument), void *argument);

#endif							/* LEADSCORE_NESTED_H */
