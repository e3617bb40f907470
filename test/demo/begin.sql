CREATE EXTENSION leadscore;
SELECT leadscore.publish(leadscore.template('ecommerce')) AS model \gset
