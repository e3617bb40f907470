/*
 * What cppcheck, which reads no header of the server, must know of it: macros
 * that look like no C, and which errors do not return.
 */
#define ERROR 21
#define foreach(cell, list) for (cell = list_head(list); cell; cell = lnext(list, cell))
#define ereport(level, ...) do { report(__VA_ARGS__); if ((level) >= ERROR) abort(); } while (0)
#define elog(level, ...) ereport(level, errmsg(__VA_ARGS__))
