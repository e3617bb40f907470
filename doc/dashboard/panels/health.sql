-- Health
-- What a monitor looks at. Where something is wrong, the action is the statement that mends it.
-- Empty: The view health has no rows. Is the extension up to date? ALTER EXTENSION leadscore UPDATE;
SELECT h.name, h.state, h.detail, h.action
FROM leadscore.health h
ORDER BY h.state = 'ok', h.state, h.name
