import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Struct;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;

/**
 * Runs the statements of standard input through JDBC and prints what each returned as a line of JSON.
 *
 * <p>A statement ends with a NUL character. "batch TABLE" inserts rows as a batch, and "echo TEXT" binds a parameter.
 * One connection serves them all; a statement that is refused prints its code.
 */
public class Client {
    private static final Object[][] BATCH = {
        {1L, new BigDecimal("0.000000000001"), ZonedDateTime.parse("2026-03-31T23:59:58.123456Z"), "a'b\"c`\\ \t\n ü 漢字 🚀",
            null, List.of("T1", "T2 ü"), Map.of("team", "a'b")},
        {2L, new BigDecimal("-99999999999999999999999999.999999999999"), ZonedDateTime.parse("1970-01-01T00:00:00Z"), "",
            "note", List.of(), Map.of()},
    };

    public static void main(String[] arguments) throws Exception {
        PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        String[] statements = new String(System.in.readAllBytes(), StandardCharsets.UTF_8).split("\0");
        try (Connection connection = DriverManager.getConnection(arguments[0], new Properties())) {
            if (!connection.isValid(10)) {
                throw new IllegalStateException("the connection is not valid");
            }
            for (String sql : statements) {
                Map<String, Object> answer = new LinkedHashMap<>();
                try {
                    run(connection, sql, answer);
                } catch (SQLException error) {
                    answer.put("code", error.getErrorCode());
                    answer.put("message", error.getMessage());
                }
                output.println(json(answer));
            }
        }
    }

    private static void run(Connection connection, String sql, Map<String, Object> answer) throws SQLException {
        if (sql.startsWith("batch ")) {
            insert(connection, sql.substring("batch ".length()));
        } else if (sql.startsWith("echo ")) {
            try (PreparedStatement echo = connection.prepareStatement("SELECT ? AS text")) {
                echo.setString(1, sql.substring("echo ".length()));
                read(echo.executeQuery(), answer);
            }
        } else {
            try (Statement statement = connection.createStatement()) {
                if (statement.execute(sql)) {
                    read(statement.getResultSet(), answer);
                }
            }
        }
    }

    private static void insert(Connection connection, String table) throws SQLException {
        String sql = "INSERT INTO " + table + " VALUES (?, ?, ?, ?, ?, ?, ?)";
        try (PreparedStatement insert = connection.prepareStatement(sql)) {
            for (Object[] row : BATCH) {
                for (int i = 0; i < row.length; i++) {
                    Object value = row[i];
                    if (value instanceof List<?> list) {
                        value = connection.createArrayOf("String", list.toArray());
                    }
                    insert.setObject(i + 1, value);
                }
                insert.addBatch();
            }
            insert.executeBatch();
        }
    }

    private static void read(ResultSet found, Map<String, Object> answer) throws SQLException {
        ResultSetMetaData columns = found.getMetaData();
        List<Object> names = new ArrayList<>();
        for (int i = 1; i <= columns.getColumnCount(); i++) {
            names.add(columns.getColumnName(i));
        }
        List<Object> rows = new ArrayList<>();
        while (found.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= columns.getColumnCount(); i++) {
                row.add(plain(found, i, columns.getColumnTypeName(i)));
            }
            rows.add(row);
        }
        answer.put("columns", names);
        answer.put("rows", rows);
    }

    /** A timestamp of JDBC is in the zone of the machine unless it is asked for with one. */
    private static Object plain(ResultSet found, int column, String type) throws SQLException {
        if (type.startsWith("DateTime") || type.startsWith("Nullable(DateTime")) {
            return plain(found.getObject(column, OffsetDateTime.class));
        }
        return plain(found.getObject(column));
    }

    /** Write a value so that JSON keeps all of it: moments as microseconds, decimals without trailing zeros. */
    private static Object plain(Object value) throws SQLException {
        if (value instanceof BigDecimal decimal) {
            BigDecimal stripped = decimal.stripTrailingZeros();
            return stripped.signum() == 0 ? "0" : stripped.toPlainString();
        } else if (value instanceof OffsetDateTime moment) {
            return ChronoUnit.MICROS.between(Instant.EPOCH, moment.toInstant());
        } else if (value instanceof ZonedDateTime moment) {
            return ChronoUnit.MICROS.between(Instant.EPOCH, moment.toInstant());
        } else if (value instanceof LocalDateTime moment) {
            return ChronoUnit.MICROS.between(Instant.EPOCH, moment.toInstant(ZoneOffset.UTC));
        } else if (value instanceof Timestamp moment) {
            return ChronoUnit.MICROS.between(Instant.EPOCH, moment.toInstant());
        } else if (value instanceof java.sql.Date || value instanceof LocalDate || value instanceof UUID) {
            return value.toString();
        } else if (value instanceof Array array) {
            return plain(array.getArray());
        } else if (value instanceof Struct struct) {
            return plain(struct.getAttributes());
        } else if (value instanceof Object[] items) {
            return plain(Arrays.asList(items));
        } else if (value instanceof List<?> items) {
            List<Object> all = new ArrayList<>();
            for (Object item : items) {
                all.add(plain(item));
            }
            return all;
        } else if (value instanceof Map<?, ?> entries) {
            Map<String, Object> all = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : entries.entrySet()) {
                all.put(String.valueOf(entry.getKey()), plain(entry.getValue()));
            }
            return all;
        }
        return value;
    }

    private static String json(Object value) {
        if (value == null || value instanceof Boolean || value instanceof BigInteger) {
            return String.valueOf(value);
        } else if (value instanceof Double number && number.isNaN() || value instanceof Float real && real.isNaN()) {
            return "\"nan\"";
        } else if (value instanceof Number) {
            return value.toString();
        } else if (value instanceof List<?> items) {
            List<String> all = new ArrayList<>();
            for (Object item : items) {
                all.add(json(item));
            }
            return "[" + String.join(",", all) + "]";
        } else if (value instanceof Map<?, ?> entries) {
            List<String> all = new ArrayList<>();
            for (Map.Entry<?, ?> entry : entries.entrySet()) {
                all.add(json(entry.getKey()) + ":" + json(entry.getValue()));
            }
            return "{" + String.join(",", all) + "}";
        }
        StringBuilder text = new StringBuilder("\"");
        for (char letter : value.toString().toCharArray()) {
            if (letter == '"' || letter == '\\') {
                text.append('\\').append(letter);
            } else if (letter < ' ') {
                text.append(String.format("\\u%04x", (int) letter));
            } else {
                text.append(letter);
            }
        }
        return text.append('"').toString();
    }
}
