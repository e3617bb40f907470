// A browser of the shop, or its back office: one session with the GraphQL API.

'use strict';

const failed = '... on ErrorResult { errorCode message }';

class Client {
    constructor(port, api, channel) {
        this.url = `http://127.0.0.1:${port}/${api}`;
        this.headers = { 'content-type': 'application/json', ...(channel && { channel }) };
    }

    // What the API calls NAME, as the one result of the request. An error in any of its forms is thrown.
    async ask(kind, name, args, result) {
        const query = `${kind} { ${name}${args ? `(${args})` : ''} ${result} }`;
        const body = JSON.stringify({ query });
        const response = await fetch(this.url, { method: 'POST', headers: this.headers, body });
        const token = response.headers.get('token');
        const { data, errors } = await response.json();

        if (token)
            this.headers.authorization = `Bearer ${token}`;
        if (errors || data[name]?.errorCode)
            throw new Error(`${name}: ${(errors ?? [data[name]]).map(error => error.message).join('; ')}\n${query}`);
        return data[name];
    }

    query(name, args, result) { return this.ask('query', name, args, result); }

    mutate(name, args, result) { return this.ask('mutation', name, args, result); }

    async logIn(user, password) {
        await this.mutate('login', `username: "${user}", password: "${password}"`, `{ __typename ${failed} }`);
        return this;
    }
}

class Shopper extends Client {
    constructor(port, channel) { super(port, 'shop-api', channel); }

    // Baskets are { variant: quantity }. Resolves to the order.
    async fill(basket, variants, extra = '') {
        let order;

        for (const [name, quantity] of Object.entries(basket))
            order = await this.mutate('addItemToOrder',
                `productVariantId: ${variants[name]}, quantity: ${quantity}${extra}`,
                `{ ... on Order { id code } ${failed} }`);
        return order;
    }

    async identify(email) {
        await this.mutate('setCustomerForOrder',
            `input: { emailAddress: "${email}", firstName: "A", lastName: "Guest" }`, `{ __typename ${failed} }`);
    }

    // Takes the cart from the address to the payment. Resolves to the order.
    async pay(metadata = '') {
        await this.mutate('setOrderShippingAddress', 'input: { streetLine1: "1 Long Lane", countryCode: "DE" }',
            `{ __typename ${failed} }`);
        const [method] = await this.query('eligibleShippingMethods', '', '{ id }');
        await this.mutate('setOrderShippingMethod', `shippingMethodId: [${method.id}]`, `{ __typename ${failed} }`);
        await this.mutate('transitionOrderToState', 'state: "ArrangingPayment"',
            '{ __typename ... on OrderStateTransitionError { errorCode message } }');
        return this.addPayment(metadata);
    }

    addPayment(metadata = '') {
        return this.mutate('addPaymentToOrder', `input: { method: "invoice", metadata: { ${metadata} } }`,
            `{ ... on Order { id code state lines { id quantity } payments { id amount } } ${failed} }`);
    }
}

class Office extends Client {
    constructor(port) { super(port, 'admin-api'); }
}

module.exports = { Office, Shopper, failed };
