-- Health
-- What needs a hand, and the statement that mends it.
-- Empty: All is well: nothing waits for you.
SELECT s.object, s.name, s.state, s.action
FROM leadscore.status s
ORDER BY 1, 2
