CREATE TABLE users (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL
);

INSERT INTO users (id, name) VALUES
    (1, 'Ada Lovelace'),
    (2, 'Grace Hopper'),
    (3, 'Edsger Dijkstra'),
    (4, 'Barbara Liskov'),
    (5, 'Margaret Hamilton');
