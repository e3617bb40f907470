# The dashboard in a real browser: every panel is drawn, shows what SQL says, asks for nothing, and takes names for
# text; where something is missing, it says what to do. Needs Chromium, Node.js and npm (LEADSCORE_NEEDS_BROWSER: dies
# without).

use strict;
use warnings FATAL => 'all';

use Cwd;
use File::Basename;
use FindBin;
use HTTP::Tiny;
use JSON::PP;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $tree = $ENV{LEADSCORE_TREE} // dirname(dirname($FindBin::Bin));
my $build = "$tree/doc/dashboard";
my $json = JSON::PP->new->utf8->canonical;
my ($chromium) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split /:/, $ENV{PATH};
my @missing = grep { my $program = $_; !grep { -x "$_/$program" } split /:/, $ENV{PATH} } qw(node npm);
push @missing, 'chromium' if !$chromium;
if (@missing)
{
	die "missing: @missing" if $ENV{LEADSCORE_NEEDS_BROWSER};
	plan skip_all => "missing: @missing";
}

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN');
my $files = $PostgreSQL::Test::Utils::tmp_check;

# a database with the extension, and with what the statements make in it
sub shop
{
	my ($name, $sql) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, q{CREATE EXTENSION leadscore; SELECT leadscore.grant_reader('reader')});
	$node->safe_psql($name, $sql) if $sql;
	return;
}

# draws the page of a database as a reader, and returns its file and its data
sub draw
{
	my ($database, %more) = @_;
	local %ENV = (%ENV, %more, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'reader', PGDATABASE => $database, OUT => "$files/$database.html");

	system("'$build/build' > '$files/build.log' 2>&1") == 0 or die slurp_file("$files/build.log");
	my ($data) = slurp_file($ENV{OUT}) =~ m{<script type="application/json" id="data">(.*?)</script>}s or die 'no data';
	return ($ENV{OUT}, $json->decode($data));
}

# what SQL says: each panel's statement, run by psql itself
sub rows_by_sql
{
	my ($database, $data) = @_;
	my %rows;

	for my $file (glob "$build/panels/*.sql")
	{
		my $sql = slurp_file($file);
		my ($status, $out, $error) = $node->psql($database, "SET TimeZone = 'UTC'; SELECT coalesce(json_agg(p), '[]') FROM ($sql) p",
			extra_params => [ '-U', 'reader', '-v', "model=$data->{model}", '-v', "fitted=$data->{fitted}" ]);
		$rows{ basename($file, '.sql') } = $status == 0 ? $json->decode($out) : [];
	}
	return \%rows;
}

# opens pages in the browser, and returns what is to complain about
sub look
{
	my @plan = @_;

	open my $file, '>', "$files/plan.json" or die $!;
	print $file $json->encode(\@plan);
	close $file;
	my $said = `node '$tree/test/dashboard/check.mjs' '$chromium' '$files/plan.json' 2>&1`;
	return $said =~ s/\s+\z//r;
}

# ---------------------------------------------------------------- a shop with all there is, and names that would hurt

my $hostile = q{</script><script>var hurt = 1</script><img src=x onerror=alert(1)>};
shop('shop', qq{
	SELECT leadscore.publish(jsonb_set(leadscore.template('ecommerce'), '{segments,0,segment}', to_jsonb('$hostile'::text)));
	UPDATE leadscore.signal SET description = '$hostile';
	INSERT INTO leadscore.channel VALUES ('email <b>', 'email_click');
	INSERT INTO leadscore.spend (channel, day, amount) VALUES ('email <b>', current_date, 100), ('<!--', current_date - 20, 7);
	INSERT INTO leadscore.lead (lead_id, profile) SELECT n, jsonb_build_object('name', format('$hostile %s', n)) FROM generate_series(1, 300) AS n;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value)
	SELECT lead, kind, now() - interval '1 hour' * (1 + abs(hashint8(n * 7)) % 2400), CASE kind WHEN 'purchase' THEN 10 + n % 90 END
	FROM generate_series(1, 9000) AS n, LATERAL (SELECT (abs(hashint8(n)) % 300) ^ 2 / 300 + 1) AS l (x), LATERAL (SELECT floor(x)::int) AS i (lead),
		LATERAL (SELECT ('{visit,visit,visit,product_view,search,email_click,add_to_cart,purchase}'::text[])[1 + abs(hashint8(n + 9)) % CASE WHEN lead % 3 = 0 THEN 3 ELSE 8 END]) AS k (kind);
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) SELECT '<i>$hostile', 'purchase', now() - n * interval '1 day', 200 FROM generate_series(1, 30) AS n;
	SELECT leadscore.publish(leadscore.fit(leadscore.scorecard('ecommerce') || '{"model": "learnt"}', 'purchase', '30 days',
		ARRAY[date_trunc('day', now(), 'UTC') - interval '30 days']));
	INSERT INTO leadscore.experiment (experiment, control, treatment, starts_at) VALUES ('$hostile', 'ecommerce', 'learnt', now() - interval '20 days');
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, holdout_share) VALUES ('$hostile', 'ecommerce', 'medium', 10, '14 days', 100, 0.2)});
$node->safe_psql('shop', q{CALL leadscore.watch('ecommerce')});
$node->safe_psql('shop', qq{SELECT leadscore.issue_offer('$hostile'); SELECT leadscore.refresh_segments(), leadscore.refresh_figures()});

my ($page, $data, $rows);
for (1 .. 3)
{
	my $hour = int(time / 3600);
	($page, $data) = draw('shop');
	$rows = rows_by_sql('shop', $data);
	last if $hour == int(time / 3600);    # scores are of the hour
}
is($data->{model} . $data->{fitted}, 'ecommerce' . 'learnt', 'the models that the page is about');
is(join(' ', grep { $_ && @{ $data->{panels}{$_}{rows} } == 0 } sort keys %{ $data->{panels} }), 'setup', 'a reader sees every panel filled');
my %full = (page => $page, rows => $rows, texts => [ $hostile, 'email <b>', "$hostile 1", "<i>$hostile" ]);
is(look({ %full, width => 1400, dark => JSON::PP::false }, { %full, width => 390, dark => JSON::PP::true }),
	'', 'every panel is drawn with the numbers of SQL, light and wide, dark and narrow; nothing is asked for, nothing hurts');

# ---------------------------------------------------------------- pages that are broken on purpose

sub broken
{
	my ($name, $from, $to) = @_;
	my $text = slurp_file($page);

	$text =~ s/$from/$1$to/ or die "nothing to break: $from";
	unlink "$files/$name.html";
	append_to_file("$files/$name.html", $text);
	return look({ %full, page => "$files/$name.html", width => 1400, dark => JSON::PP::false });
}
like(broken('script', qr/(const charts = \[\];)/, ' '), qr/Content Security Policy/, 'broken: a script that is not the one that was built does not run');
like(broken('number', qr/("funnel": .*?"leads":)/s, '9'), qr/funnel (?:draws|shows)/, 'broken: a number that is not that of SQL');
like(broken('asking', qr/()(?=<main)/, '<img src="http://localhost:9/x.png" alt="">'), qr/asks for http|Content Security Policy/, 'broken: a picture from elsewhere');
like(broken('missing', qr/()"lift": \{.*?\},\n/s, ''), qr/lift complains: The panel was not read/, 'broken: a panel that was not read');

# ---------------------------------------------------------------- what is missing is said

my $model = q{SELECT leadscore.publish(leadscore.template('ecommerce'));};
my $one = q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('only', 'visit');};
my %bare = (
	no_model => [ '', 'There is no model yet.' ],
	no_events => [ $model, 'there are no events' ],
	one_lead => [ "$model $one SELECT leadscore.refresh_segments(), leadscore.refresh_figures()", 'There is one lead only.' ],
	no_segments => [ "$model $one DELETE FROM leadscore.segment; SELECT leadscore.refresh_segments(), leadscore.refresh_figures()", 'The model has no segments.' ],
	unwatched => [ "$model $one SELECT leadscore.refresh_segments(), leadscore.refresh_figures()", 'The model is not watched' ],
);
my @visits;
for my $name (sort keys %bare)
{
	shop($name, $bare{$name}[0]);
	my ($file, $found) = draw($name);
	push @visits, { page => $file, width => 1400, dark => JSON::PP::false, texts => [ $bare{$name}[1] ],
		rows => { map { $_ => $found->{panels}{$_}{rows} } grep { $_ } keys %{ $found->{panels} } } };
}
is(look(@visits), '', 'no model, no events, one lead, no segments, unwatched: each panel draws, or says what to do');

# ---------------------------------------------------------------- Grafana

my $grafana = "$build/grafana/leadscore.json";
system("cd '$tree/test/dashboard' && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error > '$files/npm.log' 2>&1") == 0 or die slurp_file("$files/npm.log");
is(`node '$tree/test/dashboard/grafana.mjs' '$grafana' 2>&1`, '', 'the dashboard for Grafana is of the types that Grafana has');
append_to_file("$files/wrong.json", slurp_file($grafana) =~ s/"drawStyle"/"draw"/r =~ s/"cellHeight": "sm"/"cellHeight": "small"/r);
like(`node '$tree/test/dashboard/grafana.mjs' '$files/wrong.json' 2>&1`, qr/"small"' is not assignable/, '... and one that is not is found');
my @empty;
for (split /\n/, `node '$tree/test/dashboard/grafana.mjs' '$grafana' 2000-01-01T00:00:00Z 2100-01-01T00:00:00Z ecommerce`)
{
	my ($title, $sql) = @{ $json->decode($_) };
	my ($status, $out, $error) = $node->psql('shop', "SELECT count(*) FROM ($sql) AS p", extra_params => [ '-U', 'reader' ]);
	push @empty, "$title: $out$error" if $status != 0 || !$out;
}
is("@empty", '', 'each of its statements gives rows to a reader');

# ---------------------------------------------------------------- served

my $server = open(my $said, '-|', 'node', "$build/serve.mjs", $page, 0) or die $!;
my ($url) = <$said> =~ m{(http://127\.0\.0\.1:\d+/) } or die 'not served';
my $http = HTTP::Tiny->new;
my %got = map { $_ => $http->get("$url$_") } '', '?still', 'etc/passwd';
is($got{''}{content}, slurp_file($page), 'the page is served');
is(join(' ', map { $_ // 'none' } $got{''}{headers}{refresh}, $got{'?still'}{headers}{refresh}, $got{'etc/passwd'}{status}), '60 none 404', '... anew every minute or once, and nothing else is');
is($http->get($url =~ s/127\.0\.0\.1/127.1/r)->{status}, 403, '... not under another name, which a page from elsewhere could have pointed here');
kill 'TERM', $server;
$server = open($said, '-|', 'node', "$build/serve.mjs", $page, 0, '0.0.0.0') or die $!;
($url) = <$said> =~ m{(http://127\.0\.0\.1:\d+/) } or die 'not served';
is(join(' ', map { $http->get($url =~ s/127\.0\.0\.1/$_/r)->{status} } '127.0.0.1', '127.0.0.2'), '200 403', '... on all addresses if asked to, under the names of loopback');
kill 'TERM', $server;

# ---------------------------------------------------------------- one panel fails

$node->safe_psql('shop', 'REVOKE SELECT ON leadscore.funnel FROM reader');
(undef, $data) = draw('shop');
like($data->{panels}{funnel}{answer}{error}, qr/^permission denied/, 'an error of one panel is its own');
cmp_ok(scalar @{ $data->{panels}{lift}{rows} }, '>', 0, '... and the others are read');

done_testing();
