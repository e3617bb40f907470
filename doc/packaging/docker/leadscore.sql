-- What the image runs in a new database (POSTGRES_DB): the extension, its jobs, and a role that draws the dashboard.
\getenv password DASHBOARD_PASSWORD

CREATE EXTENSION pg_cron;
CREATE EXTENSION leadscore;
SELECT leadscore.publish(leadscore.template('ecommerce'));
SELECT * FROM leadscore.schedule('5 minutes');

\if :{?password}
CREATE ROLE dashboard LOGIN PASSWORD :'password';
SELECT leadscore.grant_reader('dashboard');
\endif
