\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Models that come ready do what their descriptions say.

-- funnel: 5 for a download, 2 for a newsletter opened, 10 for an answer, 15 for an offer opened, from 1 to 100; a
-- voucher from 80 on that ends in hours.
-- A download and five opened offers are 5 + 5 * 15 = 80, whether they come within a day or in the course of weeks:
-- nothing decays on the way.
SELECT publish(template('funnel'));
CALL watch('funnel', notify => false);
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('today', 'funnel', 'sales_qualified', 'percent', 10, '6 hours', 100);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('slow', 'lead_magnet_download', now() - interval '60 days');
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'slow', 'promotion_open', now() - n * interval '10 days' FROM generate_series(1, 4) n;
INSERT INTO event (lead_id, kind) VALUES ('fast', 'lead_magnet_download');
INSERT INTO event (lead_id, kind) SELECT 'fast', 'promotion_open' FROM generate_series(1, 4) n;
SELECT lead_id, score, segment, (SELECT count(*) FROM voucher) AS vouchers FROM lead_score WHERE model = 'funnel' ORDER BY 1;
INSERT INTO event (lead_id, kind) VALUES ('slow', 'promotion_open'), ('fast', 'promotion_open');
SELECT lead_id, score, segment FROM lead_score WHERE model = 'funnel' ORDER BY 1;
SELECT lead_id, offer, expires_at - issued_at AS valid_for FROM voucher ORDER BY 1;
-- what is older than 90 days counts no more; the scale has its ends; one newsletter a day counts, and twenty points of
-- them
SELECT score('slow', 'funnel', now() + interval '31 days') AS without_the_download, score('slow', 'funnel', now() + interval '91 days') AS floor;
INSERT INTO event (lead_id, kind) SELECT 'fast', 'email_reply' FROM generate_series(1, 3);
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'reader', 'newsletter_open', now() - n % 20 * interval '1 day' FROM generate_series(1, 100) n;
SELECT score('fast', 'funnel') AS ceiling, score('reader', 'funnel') AS newsletters, score('nobody', 'funnel') AS nobody;
