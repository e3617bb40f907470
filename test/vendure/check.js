// make check-vendure: what happens in a shop, one step after the other. After each the timelines, scores and profiles
// must be those of plain SQL on the shop's tables (expected.sql).

'use strict';

const assert = require('assert');
const fs = require('fs');
const { Client: Database } = require('pg');
const shop = require('./shop');

const database = new Database({ database: 'shop', user: 'postgres' });
const tally = { passed: 0, failed: 0 };

// ---------- asking the database ----------

const rows = async (sql, ...values) => (await database.query(sql, values)).rows;

const script = async name => database.query(fs.readFileSync(`${__dirname}/${name}`, 'utf8'));

async function customer(email) {
    const found = await rows('SELECT id FROM customer WHERE "emailAddress" = $1', email);

    assert.strictEqual(found.length, 1, `customers with the address ${email}`);
    return found[0].id;
}

// What counts for a lead, as { signal: [occurrences, value] }.
async function counted(lead) {
    const counts = await rows(`
        SELECT signal, sum(occurrences)::int AS occurrences, sum(value)::float8 AS value
        FROM leadscore.current_timeline, leadscore.timeline_entries(timeline) JOIN leadscore.signal USING (signal_id)
        WHERE lead_id = $1 GROUP BY signal`, lead);

    return Object.fromEntries(counts.map(row => [row.signal, [row.occurrences, row.value]]));
}

async function profile(email) {
    const lead = `customer:${await customer(email)}`;
    const [found] = await rows('SELECT profile FROM leadscore.current_profile WHERE lead_id = $1', lead);

    return found?.profile ?? undefined;
}

async function counts(email, expected) {
    assert.deepStrictEqual(await counted(`customer:${await customer(email)}`), expected);
}

async function exact() {
    assert.deepStrictEqual(await rows('SELECT * FROM oracle.difference'), []);
}

// ---------- steps ----------

function report(title, error) {
    tally[error ? 'failed' : 'passed']++;
    console.log(`${error ? 'failed' : 'ok'}: ${title}`);
    if (error)
        console.log(String(error.stack).replace(/^/gm, '    '));
}

async function step(title, act) {
    try {
        await act();
        await exact();
        report(title);
    } catch (error) {
        report(title, error);
    }
}

// What happens at the same time is exact at every moment.
async function exactDuring(acts) {
    const all = Promise.all(acts);
    let settled = false;
    let looks = 0;

    all.finally(() => settled = true).catch(() => {});
    for (; !settled; looks++)
        await exact();
    await all;
    assert.ok(looks > 3, `looked at it ${looks} times meanwhile`);
}

// ---------- the story ----------

async function setUp() {
    const statements = await shop.migrate(1);

    assert.ok(statements.some(statement => statement.startsWith('CREATE TABLE "order"')), 'the ORM makes the tables');
    await shop.open(1, '--populate');
    for (const { id, sku } of await rows('SELECT id, sku FROM product_variant'))
        shop.variants[sku] = id;
    await shop.openChannel();
    await shop.guestOrders('early@example.com', { lamp: 1 });
    for (const name of ['expected.sql', 'model.sql', 'track.sql'])
        await script(name);
}

async function orders() {
    await step('an order from before counts', () =>
        counts('early@example.com', { order: [1, 63.21], home: [1, 49] }));

    await step('a guest orders', async () => {
        await shop.guestOrders('anna@example.com', { novel: 2, lamp: 1 });
        await counts('anna@example.com', { order: [1, 91.01], books: [1, 25.98], home: [1, 49] });
    });

    await step('the guest registers, and orders as a customer', async () => {
        await shop.register('anna@example.com');
        await shop.customerOrders('anna@example.com', { atlas: 1, novel: 1, kite: 2 });
        await counts('anna@example.com', { order: [2, 211.88], books: [3, 78.87], home: [1, 49], toys: [1, 49.9] });
    });

    await step('guest and customer order in the other channel', async () => {
        await shop.guestOrders('ben@example.com', { rug: 1 }, 'uk');
        await shop.customerOrders('anna@example.com', { kite: 1 }, 'uk');
        await counts('ben@example.com', { order: [1, 135.89], 'order in pounds': [1, 135.89], home: [1, 130.99] });
        await counts('anna@example.com',
            { order: [3, 242.02], 'order in pounds': [1, 30.14], books: [3, 78.87], home: [1, 49], toys: [2, 75.14] });
    });

    await step('a payment that is declined is no order', async () => {
        const shopper = shop.visitor();

        await shopper.fill({ kite: 1 }, shop.variants);
        await shopper.identify('dan@example.com');
        await assert.rejects(shopper.pay('declined: true'), /declined/i);
        await counts('dan@example.com', { cart: [1, 24.95] });
        await shopper.addPayment();
        await counts('dan@example.com', { order: [1, 34.59], toys: [1, 24.95] });
    });
}

async function carts() {
    const visitor = shop.visitor();
    let order;

    await shop.register('cleo@example.com');
    await step('a cart counts for its order while nobody knows whose it is', async () => {
        order = await visitor.fill({ novel: 1, kite: 1 }, shop.variants);
        assert.deepStrictEqual(await counted(`order:${order.id}`), { cart: [2, 37.94] });
    });

    await step('at the log-in it merges with the cart of another device', async () => {
        const elsewhere = await shop.loggedIn('cleo@example.com');

        await elsewhere.fill({ novel: 2, rug: 1 }, shop.variants);
        await counts('cleo@example.com', { cart: [2, 155.48] });
        await visitor.logIn('cleo@example.com', 'secret');
        await counts('cleo@example.com', { cart: [3, 167.44] });
        assert.deepStrictEqual(await counted(`order:${order.id}`), {});
    });

    await step('and is bought', async () => {
        await visitor.pay();
        await counts('cleo@example.com', { order: [1, 202.6], books: [1, 12.99], home: [1, 129.5], toys: [1, 24.95] });
    });
}

async function regrets() {
    let order;

    await step('a line is cancelled in part', async () => {
        order = await shop.guestOrders('eve@example.com', { novel: 3, rug: 1 });
        await shop.cancel(order, [[order.lines[0], 1]]);
        await counts('eve@example.com', { order: [1, 186.81], books: [1, 25.98], home: [1, 129.5] });
    });

    await step('money is paid back, twice', async () => {
        await shop.refund(order, 1390);
        await shop.refund(order, 500);
        await counts('eve@example.com', { order: [1, 186.81], books: [1, 25.98], home: [1, 129.5], refund: [2, 18.9] });
    });

    await step('the order is given to another customer, with its lines and refunds', async () => {
        await shop.give(order, await customer('anna@example.com'));
        await counts('eve@example.com', {});
        await counts('anna@example.com', { order: [4, 428.83], 'order in pounds': [1, 30.14],
            books: [4, 104.85], home: [2, 178.5], toys: [2, 75.14], refund: [2, 18.9] });
    });

    await step('the whole order is cancelled', async () => {
        await shop.cancel(order);
        await counts('anna@example.com', { order: [3, 242.02], 'order in pounds': [1, 30.14], 'cancelled order': [1, 0],
            books: [3, 78.87], home: [1, 49], toys: [2, 75.14], refund: [2, 18.9] });
    });

    await step('a customer is deleted', async () => {
        await shop.change(await customer('ben@example.com'), 'title: "Sir"');
        assert.deepStrictEqual(await profile('ben@example.com'), { title: 'Sir' });
        await (await shop.office()).mutate('deleteCustomer', `id: ${await customer('ben@example.com')}`, '{ result }');
        assert.strictEqual(await profile('ben@example.com'), undefined);
    });
}

async function crowd() {
    await step('six checkouts of one customer at the same time', async () => {
        await shop.guestOrders('fay@example.com', { lamp: 1 });
        const baskets =
            [{ lamp: 1 }, { novel: 1, kite: 1 }, { rug: 2 }, { atlas: 1 }, { kite: 3, lamp: 1 }, { novel: 4 }];

        await exactDuring(baskets.map(basket => shop.guestOrders('fay@example.com', basket)));
        await counts('fay@example.com', { order: [7, 748.39], books: [3, 104.85], home: [4, 406], toys: [2, 99.8] });
    });
}

async function hands() {
    const name = { one: 'hal@example.com', other: 'ida@example.com' };

    await step('an order changes hands again and again while both customers order and money is paid back', async () => {
        const order = await shop.guestOrders(name.one, { rug: 1, novel: 2 });
        const times = async (n, act) => {
            for (let i = 0; i < n; i++)
                await act(i);
        };

        await shop.guestOrders(name.other, { kite: 1 });
        await exactDuring([
            times(5, async i => shop.give(order, await customer(i % 2 ? name.one : name.other))),
            times(3, () => shop.refund(order, 100)),
            shop.guestOrders(name.one, { lamp: 1 }),
            shop.guestOrders(name.other, { atlas: 1 }),
        ]);
        await counts(name.one, { order: [1, 63.21], home: [1, 49] });
        await counts(name.other,
            { order: [3, 268.99], books: [2, 65.88], home: [1, 129.5], toys: [1, 24.95], refund: [3, 3] });
    });
}

async function migrations() {
    await step('the ORM finds nothing of ours to migrate', async () => {
        assert.deepStrictEqual(await shop.migrate(1, '--dry'), []);
    });

    await step('the ORM adds columns to tracked tables', async () => {
        await shop.close();
        const statements = await shop.migrate(2);

        assert.strictEqual(statements.length, 2);
        for (const statement of statements)
            assert.match(statement, /^ALTER TABLE "(customer|order_line)" ADD "customFields/);
        await shop.open(2);
    });

    await step('and these count once they are tracked', async () => {
        await script('track_migrated.sql');
        await shop.guestOrders('gil@example.com', { kite: 1 }, '', ', customFields: { wrapping: "red" }');
        await shop.change(await customer('gil@example.com'), 'title: "Mr", customFields: { newsletter: true }');
        assert.deepStrictEqual(await profile('gil@example.com'), { title: 'Mr', newsletter: true });
        await counts('gil@example.com', { order: [1, 34.59], toys: [1, 24.95], wrapping: [1, 0] });
    });

    await step('a column that counts is dropped and made again: a rebuild is due', async () => {
        const due = `SELECT action FROM leadscore.status WHERE state LIKE '%customFieldsWrapping%'`;

        await shop.close();
        const statements = await shop.migrate(3);

        assert.deepStrictEqual(statements.map(statement => statement.slice(0, 29)),
            ['ALTER TABLE "order_line" DROP', 'ALTER TABLE "order_line" ADD ']);
        await shop.open(3);
        assert.strictEqual((await rows(due)).length, 1);
        await database.query('CALL leadscore.rebuild()');
        assert.deepStrictEqual(await rows(due), []);
        await counts('gil@example.com', { order: [1, 34.59], toys: [1, 24.95] });
    });

    await step('and the new one counts', async () => {
        await shop.guestOrders('gil@example.com', { novel: 1 }, '', ', customFields: { wrapping: "blue" }');
        await counts('gil@example.com', { order: [2, 53.39], toys: [1, 24.95], books: [1, 12.99], wrapping: [1, 0] });
    });
}

async function rights() {
    await step('the shop has no rights in leadscore', async () => {
        const visitor = new Database({ database: 'shop', user: 'vendure' });

        await visitor.connect();
        try {
            for (const object of ['leadscore.lead_timeline', 'leadscore.event', `leadscore.score('customer:1')`])
                await assert.rejects(visitor.query(`SELECT * FROM ${object}`), { code: '42501' });
        } finally {
            await visitor.end();
        }
        assert.deepStrictEqual(await rows(`
            SELECT c.oid::regclass FROM pg_class c
            WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
              AND c.relkind IN ('r', 'v', 'm', 'p')
              AND has_table_privilege('vendure', c.oid, 'SELECT, INSERT, UPDATE, DELETE')`), []);
    });
}

const nothingDue = () => step('there is nothing left to mend', async () =>
    assert.deepStrictEqual(await rows('SELECT object, name, state FROM leadscore.status'), []));

async function run() {
    await database.connect();
    await setUp();
    for (const part of [rights, orders, carts, regrets, crowd, hands, migrations, nothingDue])
        await part();
    await shop.close();
}

run().catch(error => report('the shop runs', error)).finally(async () => {
    await shop.close();
    await database.end();
    console.log(`\n${tally.passed} passed, ${tally.failed} failed`);
    process.exitCode = tally.failed || !tally.passed ? 1 : 0;
});
