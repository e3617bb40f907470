-- templates
--
-- Models that come ready: publish one as it is, or take its document, change it and publish that.
-- Signals are shared by all models, so a signal that two templates name is defined alike in both.

-- a ready model as a document for publish()
CREATE FUNCTION leadscore.template(name text) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	CASE name

	-- A purchase's 25 points have no decay, cap or category, the model has no floor, and whatever else a first
	-- purchase brings is not negative: so it lifts any lead's score by 25 or more.
	WHEN 'ecommerce' THEN RETURN $json$
{
  "model": "ecommerce",
  "description": "An online shop: what leads look at, put in the cart and buy, less what puts them off. Interest fades, orders stay. Scores may be negative; 50 is medium, 100 is high.",
  "signals": [
    {"signal": "visit", "kind": "visit", "label": "visit|visits", "description": "Came to the site"},
    {"signal": "product_view", "kind": "product_view", "label": "product view|product views", "description": "Looked at a product"},
    {"signal": "search", "kind": "search", "label": "search|searches", "description": "Searched the site"},
    {"signal": "mobile_activity", "kind": null, "match": {"device": "mobile"}, "label": "activity on a phone|activities on a phone", "description": "Did anything on a phone: any kind of event whose device is mobile"},

    {"signal": "newsletter_signup", "kind": "newsletter_signup", "label": "newsletter signup|newsletter signups", "description": "Signed up for the newsletter"},
    {"signal": "email_open", "kind": "email_open", "label": "opened email|opened emails", "description": "Opened an email"},
    {"signal": "email_click", "kind": "email_click", "label": "click in an email|clicks in emails", "description": "Followed a link in an email"},
    {"signal": "form_submit", "kind": "form_submit", "label": "form sent|forms sent", "description": "Sent a form, such as a question or a callback request"},
    {"signal": "social_share", "kind": "social_share", "label": "share on a social network|shares on social networks", "description": "Shared something on a social network"},

    {"signal": "add_to_cart", "kind": "add_to_cart", "label": "product put in the cart|products put in the cart", "description": "Put a product in the cart"},
    {"signal": "cart_abandoned", "kind": "cart_abandoned", "label": "abandoned cart|abandoned carts", "description": "Left with a full cart: wanted to buy, may yet do so"},
    {"signal": "purchase", "kind": "purchase", "label": "purchase|purchases", "description": "Placed an order; the value is the order's total"},

    {"signal": "return", "kind": "return", "label": "return|returns", "description": "Sent goods back"},
    {"signal": "complaint", "kind": "complaint", "label": "complaint|complaints", "description": "Complained"},
    {"signal": "unsubscribe", "kind": "unsubscribe", "label": "newsletter cancellation|newsletter cancellations", "description": "Left the mailing list"},
    {"signal": "any_activity", "kind": null, "label": "activity|activities", "description": "Did anything at all: shows how long a lead has been silent"},

    {"signal": "country_de", "subject": "profile", "match": {"country": "DE"}, "label": "is in Germany", "description": "Is in Germany (an example: put your own market here)"},
    {"signal": "age_25_to_44", "subject": "profile", "condition": "$.age >= 25 && $.age < 45", "label": "is 25 to 44 years old", "description": "Is 25 to 44 years old (an example of an age band)"},
    {"signal": "age_45_to_64", "subject": "profile", "condition": "$.age >= 45 && $.age < 65", "label": "is 45 to 64 years old", "description": "Is 45 to 64 years old (an example of an age band)"},
    {"signal": "profession_designer", "subject": "profile", "match": {"profession": "designer"}, "label": "works as a designer", "description": "Works as a designer (an example of a profession)"}
  ],
  "weights": [
    {"signal": "visit", "measure": "count", "points": 1, "half_life": "30 days", "max_per_day": 3, "category": "browsing", "stage": "awareness"},
    {"signal": "product_view", "measure": "count", "points": 2, "half_life": "14 days", "max_per_day": 5, "category": "browsing", "stage": "consideration"},
    {"signal": "search", "measure": "count", "points": 2, "fades_over": "30 days", "max_per_day": 3, "category": "browsing", "stage": "consideration"},
    {"signal": "mobile_activity", "measure": "active_days", "points": 1, "within": "30 days", "max_points": 5, "category": "browsing"},

    {"signal": "newsletter_signup", "measure": "count", "points": 5, "max_points": 5, "stage": "awareness"},
    {"signal": "email_open", "measure": "count", "points": 1, "half_life": "30 days", "max_per_day": 1, "max_points": 5, "category": "email", "stage": "awareness"},
    {"signal": "email_click", "measure": "count", "points": 3, "half_life": "30 days", "max_per_day": 2, "category": "email", "stage": "consideration"},
    {"signal": "form_submit", "measure": "count", "points": 8, "half_life": "60 days", "max_per_day": 1, "max_points": 16, "stage": "consideration"},
    {"signal": "social_share", "measure": "count", "points": 4, "half_life": "60 days", "max_per_day": 1, "max_points": 12, "stage": "awareness"},

    {"signal": "add_to_cart", "measure": "count", "points": 10, "half_life": "14 days", "max_per_day": 2, "max_points": 30, "stage": "decision"},
    {"signal": "cart_abandoned", "measure": "count", "points": 15, "fades_over": "30 days", "max_per_day": 1, "max_points": 30, "stage": "decision"},
    {"signal": "purchase", "measure": "count", "points": 25, "stage": "decision"},

    {"signal": "purchase", "measure": "value", "points": 3, "curve": "log", "half_life": "180 days", "max_points": 25, "category": "loyalty"},
    {"signal": "purchase", "measure": "count", "points": 10, "within": "90 days", "at_least": 2, "below": 4, "category": "loyalty"},
    {"signal": "purchase", "measure": "count", "points": 20, "within": "90 days", "at_least": 4, "category": "loyalty"},
    {"signal": "purchase", "measure": "average_value", "points": 5, "at_least": 50, "below": 100, "category": "loyalty"},
    {"signal": "purchase", "measure": "average_value", "points": 10, "at_least": 100, "below": 250, "category": "loyalty"},
    {"signal": "purchase", "measure": "average_value", "points": 15, "at_least": 250, "category": "loyalty"},
    {"signal": "purchase", "measure": "days_since_last", "points": 10, "at_least": 0, "below": 30, "category": "loyalty"},
    {"signal": "purchase", "measure": "days_since_last", "points": 5, "at_least": 30, "below": 90, "category": "loyalty"},
    {"signal": "purchase", "measure": "days_since_last", "points": 2, "at_least": 90, "below": 180, "category": "loyalty"},

    {"signal": "cart_abandoned", "measure": "count", "points": -20, "within": "30 days", "at_least": 3, "category": "warnings"},
    {"signal": "return", "measure": "count", "points": -10, "half_life": "180 days", "category": "warnings"},
    {"signal": "complaint", "measure": "count", "points": -15, "half_life": "90 days", "category": "warnings"},
    {"signal": "unsubscribe", "measure": "count", "points": -15, "min_points": -15, "category": "warnings"},
    {"signal": "any_activity", "measure": "days_since_last", "points": -10, "at_least": 60, "below": 120, "category": "warnings"},
    {"signal": "any_activity", "measure": "days_since_last", "points": -20, "at_least": 120, "below": 240, "category": "warnings"},
    {"signal": "any_activity", "measure": "days_since_last", "points": -40, "at_least": 240, "category": "warnings"},

    {"signal": "country_de", "measure": "present", "points": 10, "category": "profile"},
    {"signal": "age_25_to_44", "measure": "present", "points": 5, "category": "profile"},
    {"signal": "age_45_to_64", "measure": "present", "points": 3, "category": "profile"},
    {"signal": "profession_designer", "measure": "present", "points": 5, "category": "profile"}
  ],
  "categories": [
    {"category": "browsing", "max_points": 30},
    {"category": "email", "max_points": 15},
    {"category": "loyalty", "max_points": 50},
    {"category": "warnings", "min_points": -60},
    {"category": "profile", "max_points": 15}
  ],
  "stages": [
    {"stage": "awareness", "position": 1, "within": "180 days"},
    {"stage": "consideration", "position": 2, "within": "90 days"},
    {"stage": "decision", "position": 3, "within": "30 days"}
  ],
  "grades": [],
  "segments": [
    {"segment": "high", "position": 1, "min_score": 100},
    {"segment": "medium", "position": 2, "min_score": 50},
    {"segment": "low", "position": 3}
  ]
}
$json$::jsonb;

	-- A download and five opened offers are 5 + 5 * 15 = 80, whenever within 90 days they come.
	WHEN 'funnel' THEN RETURN $json$
{
  "model": "funnel",
  "description": "A mail funnel on a scale of 1 to 100: from a first download to a lead that sales should call. Points count in full for 90 days; from 40 a lead is marketing's, from 80, such as by a download and five opened offers, it is sales' and may have a voucher.",
  "floor": 1,
  "ceiling": 100,
  "signals": [
    {"signal": "lead_magnet_download", "kind": "lead_magnet_download", "label": "download|downloads", "description": "Downloaded a free guide, checklist or the like"},
    {"signal": "newsletter_open", "kind": "newsletter_open", "label": "opened newsletter|opened newsletters", "description": "Opened a newsletter"},
    {"signal": "email_reply", "kind": "email_reply", "label": "reply to an email|replies to emails", "description": "Answered an email"},
    {"signal": "promotion_open", "kind": "promotion_open", "label": "opened offer|opened offers", "description": "Opened an offer"}
  ],
  "weights": [
    {"signal": "newsletter_open", "measure": "count", "points": 2, "within": "90 days", "max_per_day": 1, "max_points": 20},
    {"signal": "lead_magnet_download", "measure": "count", "points": 5, "within": "90 days", "max_per_day": 3, "max_points": 25},
    {"signal": "email_reply", "measure": "count", "points": 10, "within": "90 days"},
    {"signal": "promotion_open", "measure": "count", "points": 15, "within": "90 days", "max_per_day": 5}
  ],
  "categories": [],
  "stages": [],
  "grades": [],
  "segments": [
    {"segment": "sales_qualified", "position": 1, "min_score": 80},
    {"segment": "marketing_qualified", "position": 2, "min_score": 40},
    {"segment": "cold", "position": 3}
  ]
}
$json$::jsonb;

	-- Segments: position 1 is A1, the last D4. The first that holds is the lead's own cell, for an earlier one
	-- asks for a better grade or, within the grade, for more engagement.
	WHEN 'fit_and_engagement' THEN RETURN $json$
{
  "model": "fit_and_engagement",
  "description": "Selling to companies: who a lead is gives a grade, A (60 fit points or more) to D; what it does gives a level, 1 (60 engagement points or more) to 4. A1 should be called today.",
  "signals": [
    {"signal": "company_1000_up", "subject": "profile", "condition": "$.employees >= 1000", "label": "company with 1,000 employees or more", "description": "Company with 1000 employees or more"},
    {"signal": "company_50_to_999", "subject": "profile", "condition": "$.employees >= 50 && $.employees < 1000", "label": "company with 50 to 999 employees", "description": "Company with 50 to 999 employees"},
    {"signal": "industry_software", "subject": "profile", "match": {"industry": "software"}, "label": "software industry", "description": "Software industry (an example of an industry you sell to most)"},
    {"signal": "industry_finance", "subject": "profile", "match": {"industry": "finance"}, "label": "finance industry", "description": "Finance industry (an example of an industry you sell to at times)"},
    {"signal": "role_decides", "subject": "profile", "match": {"job_role": "decision_maker"}, "label": "decides on buying", "description": "Decides on buying"},
    {"signal": "role_recommends", "subject": "profile", "match": {"job_role": "influencer"}, "label": "recommends what to buy", "description": "Recommends what to buy"},
    {"signal": "role_student", "subject": "profile", "match": {"job_role": "student"}, "label": "is a student", "description": "Is a student: reads much, buys nothing"},
    {"signal": "country_de", "subject": "profile", "match": {"country": "DE"}, "label": "is in Germany", "description": "Is in Germany (an example: put your own market here)"},

    {"signal": "visit", "kind": "visit", "label": "visit|visits", "description": "Came to the site"},
    {"signal": "pricing_visit", "kind": "visit", "match": {"page": "pricing"}, "label": "visit to the prices|visits to the prices", "description": "Came to the page with the prices"},
    {"signal": "email_click", "kind": "email_click", "label": "click in an email|clicks in emails", "description": "Followed a link in an email"},
    {"signal": "lead_magnet_download", "kind": "lead_magnet_download", "label": "download|downloads", "description": "Downloaded a free guide, checklist or the like"},
    {"signal": "form_submit", "kind": "form_submit", "label": "form sent|forms sent", "description": "Sent a form, such as a question or a callback request"},
    {"signal": "email_reply", "kind": "email_reply", "label": "reply to an email|replies to emails", "description": "Answered an email"},
    {"signal": "webinar_attended", "kind": "webinar_attended", "label": "webinar attended|webinars attended", "description": "Attended a webinar"},
    {"signal": "demo_request", "kind": "demo_request", "label": "request for a demonstration|requests for a demonstration", "description": "Asked for a demonstration"},
    {"signal": "unsubscribe", "kind": "unsubscribe", "label": "newsletter cancellation|newsletter cancellations", "description": "Left the mailing list"}
  ],
  "weights": [
    {"signal": "company_1000_up", "measure": "present", "points": 25},
    {"signal": "company_50_to_999", "measure": "present", "points": 15},
    {"signal": "industry_software", "measure": "present", "points": 20},
    {"signal": "industry_finance", "measure": "present", "points": 10},
    {"signal": "role_decides", "measure": "present", "points": 25},
    {"signal": "role_recommends", "measure": "present", "points": 15},
    {"signal": "role_student", "measure": "present", "points": -30},
    {"signal": "country_de", "measure": "present", "points": 10},

    {"signal": "visit", "measure": "count", "points": 1, "half_life": "14 days", "max_per_day": 3, "category": "browsing"},
    {"signal": "pricing_visit", "measure": "count", "points": 5, "half_life": "14 days", "max_per_day": 2, "category": "browsing"},
    {"signal": "email_click", "measure": "count", "points": 3, "half_life": "30 days", "max_per_day": 2, "max_points": 15, "category": "content"},
    {"signal": "lead_magnet_download", "measure": "count", "points": 5, "half_life": "30 days", "max_per_day": 3, "max_points": 15, "category": "content"},
    {"signal": "webinar_attended", "measure": "count", "points": 15, "half_life": "30 days", "max_per_day": 1, "category": "content"},
    {"signal": "form_submit", "measure": "count", "points": 10, "half_life": "30 days", "max_per_day": 1, "category": "contact"},
    {"signal": "email_reply", "measure": "count", "points": 10, "half_life": "30 days", "category": "contact"},
    {"signal": "demo_request", "measure": "count", "points": 30, "half_life": "30 days", "max_per_day": 1, "category": "contact"},
    {"signal": "unsubscribe", "measure": "count", "points": -20, "half_life": "180 days", "min_points": -20}
  ],
  "categories": [
    {"category": "browsing", "max_points": 25},
    {"category": "content", "max_points": 35},
    {"category": "contact", "max_points": 60}
  ],
  "stages": [],
  "grades": [
    {"grade": "A", "min_fit": 60},
    {"grade": "B", "min_fit": 40},
    {"grade": "C", "min_fit": 20},
    {"grade": "D"}
  ],
  "segments": [
    {"segment": "A1", "position": 1, "min_fit": 60, "min_engagement": 60},
    {"segment": "A2", "position": 2, "min_fit": 60, "min_engagement": 30},
    {"segment": "A3", "position": 3, "min_fit": 60, "min_engagement": 10},
    {"segment": "A4", "position": 4, "min_fit": 60},
    {"segment": "B1", "position": 5, "min_fit": 40, "min_engagement": 60},
    {"segment": "B2", "position": 6, "min_fit": 40, "min_engagement": 30},
    {"segment": "B3", "position": 7, "min_fit": 40, "min_engagement": 10},
    {"segment": "B4", "position": 8, "min_fit": 40},
    {"segment": "C1", "position": 9, "min_fit": 20, "min_engagement": 60},
    {"segment": "C2", "position": 10, "min_fit": 20, "min_engagement": 30},
    {"segment": "C3", "position": 11, "min_fit": 20, "min_engagement": 10},
    {"segment": "C4", "position": 12, "min_fit": 20},
    {"segment": "D1", "position": 13, "min_engagement": 60},
    {"segment": "D2", "position": 14, "min_engagement": 30},
    {"segment": "D3", "position": 15, "min_engagement": 10},
    {"segment": "D4", "position": 16}
  ]
}
$json$::jsonb;

	ELSE
		RAISE EXCEPTION 'unknown template'
			USING ERRCODE = 'undefined_object',
				  DETAIL = format('There is no template named "%s".', name),
				  HINT = format('The templates are: %s.',
								(SELECT string_agg(t.template, ', ') FROM leadscore.templates() t));
	END CASE;
END
$function$;

COMMENT ON FUNCTION leadscore.template(text) IS
	'a ready-made model, as a document for publish(); templates() lists them';

-- what there is; the one list of the names
CREATE FUNCTION leadscore.templates(OUT template text, OUT description text) RETURNS SETOF record
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3
	SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT t.name, leadscore.template(t.name) ->> 'description'
	FROM unnest(ARRAY['ecommerce', 'funnel', 'fit_and_engagement']) WITH ORDINALITY AS t (name, position)
	ORDER BY t.position
$function$;

COMMENT ON FUNCTION leadscore.templates() IS
	'the ready-made models, by name, and what each is for';
