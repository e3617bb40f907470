// The shop from outside: its programs, started and stopped, and what its customers and its back office do.

'use strict';

const fs = require('fs');
const { fork } = require('child_process');
const { Office, Shopper, failed } = require('./client');

const folder = fs.mkdtempSync(`${process.env.TMPDIR}/shop.`);
let server, port;
const variants = {};    // the ids of what the shop sells, by name

// ---------- its programs ----------

// Starts one of them and resolves to what it tells. Its clock is in Berlin, as its database's is not.
function start(program, version, ...args) {
    const log = fs.openSync(`${folder}/log`, 'w+');
    const settings = {
        SHOP_VERSION: version,
        SHOP_MIGRATIONS: folder,
        TZ: 'Europe/Berlin',
        VENDURE_DISABLE_TELEMETRY: 'true',
    };
    const child = fork(`${__dirname}/${program}`, args, {
        stdio: ['ignore', log, log, 'ipc'],
        env: { ...process.env, ...settings },
    });

    return new Promise((resolve, reject) => {
        child.once('message', message => resolve({ child, ...message }));
        child.once('exit', () => reject(new Error(`${program} failed:\n${fs.readFileSync(`${folder}/log`)}`)));
    });
}

// Resolves to the statements of the migration.
const migrate = async (version, ...args) => (await start('migrate.js', version, ...args)).statements;

async function open(version, ...args) {
    ({ child: server, port } = await start('serve.js', version, ...args));
}

async function close() {
    if (!server?.connected)
        return;
    const ended = new Promise(resolve => server.once('exit', resolve));

    server.disconnect();
    await ended;
}

// ---------- its customers ----------

const visitor = (channel = '') => new Shopper(port, channel);

const loggedIn = (email, channel) => visitor(channel).logIn(email, 'secret');

async function guestOrders(email, basket, channel, extra) {
    const shopper = visitor(channel);

    await shopper.fill(basket, variants, extra);
    await shopper.identify(email);
    return shopper.pay();
}

async function customerOrders(email, basket, channel) {
    const shopper = await loggedIn(email, channel);

    await shopper.fill(basket, variants);
    return shopper.pay();
}

async function register(email) {
    await visitor().mutate('registerCustomerAccount',
        `input: { emailAddress: "${email}", firstName: "A", lastName: "Customer", password: "secret" }`,
        `{ __typename ${failed} }`);
}

// ---------- its back office ----------

const office = () => new Office(port).logIn('superadmin', 'superadmin');

async function openChannel() {
    const back = await office();
    const ids = async what => (await back.query(what, '', '{ items { id } }')).items.map(item => item.id);
    const [zone] = await ids('zones');
    const { id } = await back.mutate('createChannel', `input: {
            code: "uk", token: "uk", defaultLanguageCode: en, pricesIncludeTax: true, defaultCurrencyCode: GBP,
            defaultTaxZoneId: ${zone}, defaultShippingZoneId: ${zone}
        }`, `{ ... on Channel { id } ${failed} }`);
    const assign = async (name, argument, what, more = '') =>
        back.mutate(name, `input: { ${argument}: [${await ids(what)}], channelId: ${id}${more} }`, '{ id }');

    await assign('assignProductsToChannel', 'productIds', 'products', ', priceFactor: 0.85');
    await assign('assignStockLocationsToChannel', 'stockLocationIds', 'stockLocations');
    await assign('assignShippingMethodsToChannel', 'shippingMethodIds', 'shippingMethods');
    await assign('assignPaymentMethodsToChannel', 'paymentMethodIds', 'paymentMethods');
}

// All of an order, or so many of some lines: [line, quantity].
async function cancel(order, lines) {
    const chosen = lines?.map(([line, quantity]) => `{ orderLineId: ${line.id}, quantity: ${quantity} }`);

    await (await office()).mutate('cancelOrder',
        `input: { orderId: ${order.id}, reason: "regret"${chosen ? `, lines: [${chosen}]` : ''} }`,
        `{ __typename ${failed} }`);
}

async function refund(order, amount) {
    await (await office()).mutate('refundOrder', `input: {
            paymentId: ${order.payments[0].id}, amount: ${amount}, reason: "regret",
            lines: [], shipping: 0, adjustment: 0
        }`, `{ __typename ${failed} }`);
}

async function give(order, customer) {
    await (await office()).mutate('setOrderCustomer',
        `input: { orderId: ${order.id}, customerId: ${customer} }`, '{ id }');
}

async function change(customer, fields) {
    await (await office()).mutate('updateCustomer',
        `input: { id: ${customer}, ${fields} }`, `{ __typename ${failed} }`);
}

module.exports = {
    variants, migrate, open, close, visitor, loggedIn, guestOrders, customerOrders, register,
    office, openChannel, cancel, refund, give, change,
};
