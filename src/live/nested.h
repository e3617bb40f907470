/*
 * nested.h: statements that run between those of the user.
 */
#ifndef LEADSCORE_NESTED_H
#define LEADSCORE_NESTED_H

/*
 * Call "work" while no statement is running, in such a way that extensions such as
 * pg_stat_statements treat its statements as nested.
 */
extern void run_nested(void (*work) (void *argument), void *argument);

#endif							/* LEADSCORE_NESTED_H */
